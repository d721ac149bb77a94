/** From JetStream to stored on one core, and the engine by itself with the same rows, ready encoded, in the same run. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { median, numberOption, reporter } from './figures.ts';

interface Rates {
  readonly ingestPerSecond: number;
  readonly ingestPerCpuSecond: number;
  readonly jsonPerSecond: number;
  readonly jsonPerCpuSecond: number;
  readonly nativePerSecond: number;
  readonly nativePerCpuSecond: number;
  readonly diskBytes: number;
  readonly peakBytes: number;
}

const report = reporter('analytics');
const script = join(import.meta.dirname, '../../../analytics/src/testing/ingest-rate.ts');
const runs: Rates[] = [];
// Several batches of those that are measured, since what is stored is told batch by batch.
const observations = numberOption('observations', 450_000);
const rounds = numberOption('rounds', 3);
for (let round = 1; round <= rounds; round++) {
  process.stderr.write(`ingest, round ${round} of ${rounds}\n`);
  const line = execFileSync(process.execPath, [script, String(observations)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  runs.push(JSON.parse(line.trim().split('\n').at(-1)!) as Rates);
}
const middle = (member: keyof Rates) => median(runs.map((rates) => rates[member]));

report('observations from JetStream to stored, one core', middle('ingestPerSecond'), 'per s', {
  name: 'engine fed JSON',
  value: middle('jsonPerSecond'),
});
report('the same', middle('ingestPerCpuSecond'), 'per CPU second', {
  name: 'engine fed JSON',
  value: middle('jsonPerCpuSecond'),
});
report('the same', middle('ingestPerCpuSecond'), 'per CPU second', {
  name: 'engine fed its own format',
  value: middle('nativePerCpuSecond'),
});
report('an observation on disk, its own table', middle('diskBytes'), 'bytes');
report('memory, peak', middle('peakBytes') / 2 ** 20, 'MB');

await import('./analytics-queries.ts');
await import('./analytics-fingerprints.ts');
