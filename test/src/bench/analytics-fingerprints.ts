/** A million distinct certificates within an hour (`--fingerprints=<n>`): what memory holds, and what queries take. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { numberOption, reporter } from './figures.ts';

const total = numberOption('fingerprints', 1_000_000);
const report = reporter('analytics');
const script = join(import.meta.dirname, '../../../analytics/src/testing/fingerprints.ts');
const child = spawn(process.execPath, ['--expose-gc', script, String(total)], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const exited = once(child, 'exit');
for await (const text of createInterface(child.stdout)) {
  const line = JSON.parse(text) as {
    certificates?: number;
    heapBytes?: number;
    question?: string;
    median?: number;
    cpu?: number;
  };
  if (line.question !== undefined) {
    const question = `${total} distinct certificates in an hour, ${line.question}`;
    report(question, line.median!, 'ms');
    report(`${question}, CPU`, line.cpu!, 'ms');
  } else {
    const seen = `${line.certificates} distinct certificates in an hour`;
    report(`${seen}, memory of detector and caches`, line.heapBytes! / 2 ** 20, 'MB');
  }
}
const [code] = (await exited) as [number | null];
if (code !== 0) throw new Error(`fingerprints ended with ${code}`);
