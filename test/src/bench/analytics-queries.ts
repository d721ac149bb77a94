/**
 * The dashboard's questions over twenty million observations (`--rows=<n>`), the engine and its process on one core.
 * Where other processes use the machine meanwhile, what counts is CPU time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { numberOption, reporter } from './figures.ts';

const rows = numberOption('rows', 20_000_000);
/** Milliseconds. */
const limits = { question: 300, 'incident page': 500 };
/** Cores that others may use on a machine that counts as quiet. */
const quietBelow = 0.1;

interface Line {
  readonly question?: string;
  readonly median: number;
  readonly cpu: number;
  readonly othersBusy?: number;
  readonly bytes?: number;
}

const report = reporter('analytics');
const script = join(import.meta.dirname, '../../../analytics/src/testing/query-times.ts');
const child = spawn(process.execPath, [script, String(rows)], { stdio: ['ignore', 'pipe', 'inherit'] });
const exited = once(child, 'exit');
const asked: Line[] = [];
for await (const text of createInterface(child.stdout)) {
  const line = JSON.parse(text) as Line;
  const over = `${rows / 1e6} million observations, ${line.question}`;
  if (line.question !== undefined) {
    asked.push(line);
    report(over, line.median, 'ms');
    report(`${over}, CPU`, line.cpu, 'ms');
  } else if (line.othersBusy !== undefined) {
    const quiet = line.othersBusy < quietBelow;
    const slow = asked.filter(
      ({ question, median, cpu }) =>
        (quiet ? median : cpu) > (question === 'incident page' ? limits['incident page'] : limits.question),
    );
    report('cores that other processes used meanwhile', line.othersBusy, 'cores');
    report(`questions beyond their limit, by ${quiet ? 'time' : 'CPU'}`, slow.length, `of ${asked.length}`);
  } else report('an observation on disk, with all tables made of it', line.bytes!, 'bytes');
}
const [code] = (await exited) as [number | null];
if (code !== 0) throw new Error(`query-times ended with ${code}`);
