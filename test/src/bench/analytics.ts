/** From JetStream to stored, and the engine by itself with the same rows, ready encoded, in the same run. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { median, reporter } from './figures.ts';

interface Rates {
  readonly ingestPerSecond: number;
  readonly ingestPerCpuSecond: number;
  readonly directPerSecond: number;
  readonly directPerCpuSecond: number;
  readonly diskBytes: number;
  readonly peakBytes: number;
}

const report = reporter('analytics');
const script = join(import.meta.dirname, '../../../analytics/src/testing/ingest-rate.ts');
const runs: Rates[] = [];
for (let round = 0; round < 3; round++) {
  const line = execFileSync(process.execPath, [script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const rates: Rates = JSON.parse(line.trim().split('\n').at(-1)!);
  runs.push(rates);
}
const middle = (member: keyof Rates) => median(runs.map((rates) => rates[member]));

report('observations from JetStream to stored', middle('ingestPerSecond'), 'per s', {
  name: 'engine fed directly',
  value: middle('directPerSecond'),
});
report('the same, one core', middle('ingestPerCpuSecond'), 'per CPU second', {
  name: 'engine fed directly',
  value: middle('directPerCpuSecond'),
});
report('an observation on disk', middle('diskBytes'), 'bytes');
report('memory, peak', middle('peakBytes') / 2 ** 20, 'MB');

await import('./analytics-queries.ts');
