/** The dashboard's questions over twenty million observations, the engine and its process on one core. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { reporter } from './figures.ts';

const rows = 20_000_000;
const script = join(import.meta.dirname, '../../../analytics/src/testing/query-times.ts');
const output = execFileSync('taskset', ['-c', '0', process.execPath, script, String(rows)], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
const report = reporter('analytics');
for (const line of output.trim().split('\n')) {
  const { question, median, cpu, bytes } = JSON.parse(line) as {
    question?: string;
    median?: number;
    cpu?: number;
    bytes?: number;
  };
  if (question !== undefined) {
    report(`${rows / 1e6} million observations, ${question}`, median!, 'ms');
    report(`${rows / 1e6} million observations, ${question}, CPU`, cpu!, 'ms');
  } else report('an observation on disk, with all tables made of it', bytes!, 'bytes');
}
