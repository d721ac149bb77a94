import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { AuditLog } from './audit-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-audit-lock-'));
afterAll(() => rmSync(directory, { recursive: true }));
const fail = (error: unknown) => {
  throw error;
};
const openLog = (path: string) => AuditLog.open({ path, now: () => new Date(), onTrouble: fail });
const taken = {
  code: 'audit-log-unwritable',
  message: expect.stringContaining('another signer has it open'),
};

it('two logs on one file: the second does not open, until the first is closed', async () => {
  const path = join(directory, 'one.jsonl');
  const { log } = await openLog(path);
  await expect(openLog(path)).rejects.toMatchObject(taken);
  await log.append({ event: 'first' });
  await log.close();
  const again = await openLog(path);
  expect(await again.log.append({ event: 'second' })).toBe(2);
  await again.log.close();
});

it('nor in another process, until that is dead', async () => {
  const path = join(directory, 'two.jsonl');
  const source = `
    const { AuditLog } = await import(${JSON.stringify(join(import.meta.dirname, 'audit-log.ts'))});
    await AuditLog.open({ path: ${JSON.stringify(path)}, now: () => new Date(), onTrouble: () => undefined });
    process.send('open');
    setInterval(() => undefined, 1000);`;
  const other = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(other, 'message');
  await expect(openLog(path)).rejects.toMatchObject(taken);
  const exited = once(other, 'exit');
  other.kill('SIGKILL');
  await exited;
  const { log } = await openLog(path);
  expect(await log.append({ event: 'mine' })).toBe(1);
  await log.close();
});

it('one that cannot be opened is not left locked', async () => {
  const path = join(directory, 'three.jsonl');
  mkdirSync(path);
  await expect(openLog(path)).rejects.toMatchObject({ code: 'EISDIR' });
  rmSync(path, { recursive: true });
  const { log } = await openLog(path);
  await log.close();
});

it('a place where nothing can be written is named', async () => {
  await expect(openLog(join(directory, 'absent', 'log.jsonl'))).rejects.toMatchObject({
    code: 'audit-log-unwritable',
    message: expect.stringContaining('log.jsonl.lock'),
  });
});
