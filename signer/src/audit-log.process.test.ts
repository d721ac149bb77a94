import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyAuditLog } from './audit-chain.ts';
import { AuditLog } from './audit-log.ts';
import type { WriterReport } from './testing/audit-writer.ts';

let directory: string;
let file: string;
const stops: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'audit-process-'));
  file = join(directory, 'audit.jsonl');
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  rmSync(directory, { recursive: true });
});

const linesOf = (writer: number) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .filter((line) => (JSON.parse(line) as { process?: number }).process === writer).length;

describe('a process that writes the audit log', () => {
  it('killed at any moment, has lost no record it acknowledged', async () => {
    let last = 0;
    for (let round = 0; round < 5; round++) {
      const writer = await startWriter();
      const { tail } = await writer.next(({ tail: one }) => one !== undefined);
      expect(tail).toBeGreaterThanOrEqual(last);
      const target = last + 1 + Math.floor(Math.random() * 200);
      writer.child.send({ flood: true });
      await writer.next(({ acknowledged = 0 }) => acknowledged >= target);
      writer.child.kill('SIGKILL');
      await once(writer.child, 'close');
      last = Math.max(...writer.reports.map(({ acknowledged = 0 }) => acknowledged));
      const { sequence } = await verifyAuditLog(file);
      expect(sequence).toBeGreaterThanOrEqual(last);
      expect(linesOf(writer.child.pid!)).toBe(sequence - tail!);
    }
    const { log } = await AuditLog.open({ path: file, now: () => new Date(), onTrouble: () => {} });
    await log.close();
    expect(log.sequence).toBeGreaterThanOrEqual(last);
  });

  it('refuses on a full disk, keeps the log whole, and goes on when there is room', async () => {
    const octets = 300_000;
    const writer = await startWriter('prlimit', `--fsize=${octets}:unlimited`);
    await writer.next(({ tail }) => tail !== undefined);
    const fill = async (append: number) => {
      writer.reports.length = 0;
      writer.child.send({ append });
      return (await writer.next(({ results }) => results !== undefined)).results!;
    };
    let acknowledged = 0;
    let refused: (number | string)[] = [];
    while (refused.length === 0) {
      const results = await fill(100);
      refused = results.filter((one) => typeof one === 'string');
      acknowledged += results.length - refused.length;
    }
    expect(acknowledged).toBeGreaterThan(300);
    // Of a batch all or nothing: no part of it stays.
    expect(refused).toHaveLength(100);
    expect(refused[0]).toMatch(/^audit log: EFBIG/);
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: acknowledged, torn: 0 });
    expect(statSync(file).size).toBeLessThanOrEqual(octets);
    // A smaller batch still fits, and the next does not: refusing is not for good.
    expect(await fill(1)).toEqual([acknowledged + 1]);
    await fill(100);
    execFileSync('prlimit', ['--pid', `${writer.child.pid}`, '--fsize=unlimited']);
    expect(await fill(2)).toEqual([acknowledged + 2, acknowledged + 3]);
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: acknowledged + 3, torn: 0 });
  });

  async function startWriter(...before: string[]) {
    const command = [...before, process.execPath, join(import.meta.dirname, 'testing/audit-writer.ts'), file];
    const child: ChildProcess = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    stops.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    const reports: WriterReport[] = [];
    let changed = Promise.withResolvers<void>();
    child.on('message', (report: WriterReport) => {
      reports.push(report);
      changed.resolve();
      changed = Promise.withResolvers();
    });
    return {
      child,
      reports,
      async next(wanted: (report: WriterReport) => boolean): Promise<WriterReport> {
        for (;;) {
          const found = reports.find(wanted);
          if (found) return found;
          await changed.promise;
        }
      },
    };
  }
});
