import { hash } from 'node:crypto';
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { genesis, maxLineOctets, verifyAuditLog, verifyChain } from './audit-chain.ts';
import { AuditLog, type AuditRecord } from './audit-log.ts';
import { writesAreDurable } from './testing/durable-writes.ts';

let directory: string;
let file: string;
const stops: (() => Promise<unknown> | void)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'audit-'));
  file = join(directory, 'audit.jsonl');
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const stop of stops.splice(0)) await stop();
  rmSync(directory, { recursive: true });
});

const record = (n = 0): AuditRecord => ({ event: 'tested', n, text: 'Grüße' });
const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1);
const parsed = () => lines().map((line): Record<string, unknown> => JSON.parse(line));

/** An open log; `batches` counts its writes, `trouble` holds what it reported. */
async function openLog() {
  const trouble: unknown[] = [];
  const seen = { batches: 0 };
  const { log, tail } = await AuditLog.open({
    path: file,
    now: () => new Date(Date.UTC(2026, 10, 22) + seen.batches++),
    onTrouble: (error) => trouble.push(error),
  });
  stops.push(() => log.close().catch(() => undefined));
  return { log, tail, trouble, seen };
}

async function written(count: number): Promise<void> {
  const { log } = await openLog();
  for (let i = 1; i <= count; i++) await log.append(record(i));
  await log.close();
}

/** A write that fails: what it has written is there all the same. */
const onFire = (bytes: unknown): Promise<never> => {
  appendFileSync(file, bytes as Buffer);
  return Promise.reject(new Error('disk on fire'));
};

const broken = { code: 'audit-log-broken' };
const unwritable = { code: 'audit-log-unwritable' };

describe('the chain', () => {
  it('goes from 64 zeros through the hash of each line', async () => {
    await written(3);
    let previous = '0'.repeat(64);
    for (const [i, line] of lines().entries()) {
      expect(JSON.parse(line)).toMatchObject({ sequence: i + 1, previous, event: 'tested', n: i + 1 });
      previous = hash('sha256', line);
    }
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { size } = statSync(file);
    expect(await verifyAuditLog(file)).toEqual({
      first: 1,
      time: Date.UTC(2026, 10, 22) + 2,
      sequence: 3,
      hash: previous,
      size,
      torn: 0,
      noted: undefined,
    });
  });

  it('goes on where it was', async () => {
    await written(2);
    await written(2);
    expect((await verifyAuditLog(file)).sequence).toBe(4);
    expect(parsed().map(({ n }) => n)).toEqual([1, 2, 1, 2]);
  });

  it('shows every changed byte: by itself, or by the hash of the last line', async () => {
    await written(4);
    const good = readFileSync(file);
    const before = await verifyAuditLog(file);
    for (let at = 0; at < good.length; at++) {
      for (const bit of [0x01, 0x80]) {
        const bad = Buffer.from(good);
        bad[at]! ^= bit;
        const after = await verifyChain('log', [bad], { noted: before.hash }).catch(
          ({ code }: { code: string }) => code,
        );
        if (after === broken.code) continue;
        expect(after, `octet ${at}`).toMatchObject({ noted: undefined });
        expect(after).not.toMatchObject({ hash: before.hash });
        // Whatever is there is accounted for: the next record would not be written into it.
        expect(typeof after === 'object' && after.size + after.torn).toBe(bad.length);
      }
    }
  });

  const lineChanges: [string, (lines: string[]) => string[]][] = [
    ['the first line taken out', (all) => all.slice(1)],
    ['a line taken out', ([a, , ...rest]) => [a!, ...rest]],
    ['two lines swapped', ([a, b, ...rest]) => [b!, a!, ...rest]],
    ['a line doubled', ([a, ...rest]) => [a!, a!, ...rest]],
    ['an empty line', ([a, ...rest]) => [a!, '', ...rest]],
    ['a line that is no object', ([a, ...rest]) => [a!, 'null', ...rest]],
    ['a line that is a list', ([a, ...rest]) => [a!, '[2]', ...rest]],
  ];
  it.each(lineChanges)('shows %s', async (_, change) => {
    await written(4);
    writeFileSync(file, `${change(lines()).join('\n')}\n`);
    await expect(verifyAuditLog(file)).rejects.toMatchObject(broken);
    await expect(openLog()).rejects.toMatchObject(broken);
  });

  it('shows an end cut off, or a past rewritten, to whoever noted a hash', async () => {
    await written(4);
    const { hash: noted } = await verifyAuditLog(file);
    const all = lines();
    writeFileSync(file, `${all.slice(0, 3).join('\n')}\n`);
    expect(await verifyAuditLog(file, { noted })).toMatchObject({ sequence: 3, noted: undefined });
    rmSync(file);
    await written(5);
    rewrite((one, i) => (i === 0 ? { ...one, n: 'forged' } : one));
    expect(await verifyAuditLog(file, { noted })).toMatchObject({ sequence: 5, noted: undefined });
  });

  it('counts without a gap, even where the hashes fit', async () => {
    await written(3);
    rewrite((one, i) => (i === 2 ? { ...one, sequence: 4 } : one));
    await expect(verifyAuditLog(file)).rejects.toMatchObject(broken);
  });

  it('finds the noted hash in a log that has grown', async () => {
    await written(2);
    const { hash: noted } = await verifyAuditLog(file);
    await written(2);
    expect((await verifyAuditLog(file, { noted })).noted).toBe(2);
    expect((await verifyAuditLog(file, { noted: genesis })).noted).toBe(0);
  });

  /** Changes records and makes the hashes fit. */
  function rewrite(change: (one: Record<string, unknown>, index: number) => Record<string, unknown>) {
    let previous = genesis;
    const rewritten = parsed().map((one, i) => {
      const line = JSON.stringify({ ...change(one, i), previous });
      previous = hash('sha256', line);
      return line;
    });
    writeFileSync(file, `${rewritten.join('\n')}\n`);
  }

  it('is whole when empty, and has to be there', async () => {
    await expect(verifyAuditLog(file)).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(file, '');
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: 0, hash: genesis, size: 0, torn: 0 });
  });

  it('is not read into memory without end', async () => {
    writeFileSync(file, Buffer.alloc(maxLineOctets + 1, 'x'));
    await expect(verifyAuditLog(file)).rejects.toMatchObject(broken);
  });

  it('is read in chunks that need not end with a line', async () => {
    const { log } = await openLog();
    const text = 'ü'.repeat(100_000);
    await Promise.all(Array.from({ length: 24 }, (_, n) => log.append({ event: 'long', n, text })));
    await log.close();
    expect(statSync(file).size).toBeGreaterThan(4 << 20);
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: 24, torn: 0, size: statSync(file).size });
  });
});

describe('a write cut off', () => {
  it.each([1, 20, 100])('is cut away by %i octets, and the log goes on', async (octets) => {
    await written(3);
    truncateSync(file, statSync(file).size - octets);
    const { log, tail } = await openLog();
    expect(tail.sequence).toBe(2);
    expect(tail.torn).toBeGreaterThan(0);
    expect(await log.append(record(9))).toBe(3);
    await log.close();
    expect(parsed().map(({ n }) => n)).toEqual([1, 2, 9]);
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: 3, torn: 0 });
  });

  it('is told by whoever only looks, and left as it is', async () => {
    await written(1);
    appendFileSync(file, '{"sequence":2,"prev');
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: 1, torn: 19 });
    expect(readFileSync(file, 'utf8')).toMatch(/"prev$/);
  });
});

describe('appending', () => {
  it('keeps the order, and shares writes', async () => {
    const { log, seen } = await openLog();
    const sequences = await Promise.all(Array.from({ length: 3000 }, (_, n) => log.append(record(n))));
    expect(sequences).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
    expect(seen.batches).toBe(3);
    expect(log.sequence).toBe(3000);
    await log.close();
    expect(parsed().map(({ n }) => n)).toEqual(Array.from({ length: 3000 }, (_, i) => i));
    expect((await verifyAuditLog(file)).sequence).toBe(3000);
  });

  it('acknowledges only what a durable write has taken', async () => {
    const { log } = await openLog();
    expect(writesAreDurable(file)).toBe(true);
    const began = Promise.withResolvers<void>();
    const writing = Promise.withResolvers<void>();
    const prototype = await fileHandle();
    const write: unknown = Reflect.get(prototype, 'write');
    if (typeof write !== 'function') throw new TypeError('write');
    vi.spyOn(prototype, 'write').mockImplementationOnce(async function (
      this: FileHandle,
      ...args: unknown[]
    ) {
      began.resolve();
      await writing.promise;
      return Reflect.apply(write, this, args);
    });
    let acknowledged = false;
    const appended = log.append(record()).then(() => (acknowledged = true));
    await began.promise;
    await new Promise(setImmediate);
    expect(acknowledged).toBe(false);
    writing.resolve();
    await appended;
    expect(lines()).toHaveLength(1);
  });

  it('writes what is waiting before it closes, and takes nothing after', async () => {
    const { log } = await openLog();
    const waiting = log.append(record());
    await log.close();
    expect(await waiting).toBe(1);
    await expect(log.append(record())).rejects.toMatchObject(unwritable);
  });

  it('goes on after a write in part', async () => {
    const { log } = await openLog();
    const prototype = await fileHandle();
    const write: unknown = Reflect.get(prototype, 'write');
    if (typeof write !== 'function') throw new TypeError('write');
    vi.spyOn(prototype, 'write').mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      const [bytes, from, length, at] = args as [Buffer, number, number, number];
      return Reflect.apply(write, this, [bytes, from, Math.min(length, 7), at]);
    });
    expect(await log.append(record())).toBe(1);
    expect(await log.append(record())).toBe(2);
    await log.close();
    expect((await verifyAuditLog(file)).sequence).toBe(2);
  });

  it('a failed write leaves no trace', async () => {
    const { log, trouble } = await openLog();
    await log.append(record(1));
    vi.spyOn(await fileHandle(), 'write').mockImplementationOnce(onFire);
    const failed = await Promise.allSettled([log.append(record(2)), log.append(record(3))]);
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(failed[0]).toMatchObject({ reason: unwritable });
    expect(trouble).toHaveLength(1);
    expect(lines()).toHaveLength(1);
    expect(await log.append(record(4))).toBe(2);
    await log.close();
    expect(parsed().map(({ n }) => n)).toEqual([1, 4]);
    expect((await verifyAuditLog(file)).sequence).toBe(2);
  });

  it('does not write behind what it could not take back', async () => {
    const { log, trouble } = await openLog();
    await log.append(record(1));
    const prototype = await fileHandle();
    vi.spyOn(prototype, 'write').mockImplementationOnce(onFire);
    vi.spyOn(prototype, 'truncate')
      .mockRejectedValueOnce(new Error('still on fire'))
      .mockRejectedValueOnce(new Error('still on fire'));
    await expect(log.append({ ...record(2), text: 'x'.repeat(500) })).rejects.toMatchObject(unwritable);
    await expect(log.append(record(3))).rejects.toMatchObject(unwritable);
    expect(trouble).toHaveLength(3);
    expect(await log.append(record(4))).toBe(2);
    await log.close();
    expect(parsed().map(({ n }) => n)).toEqual([1, 4]);
    expect(await verifyAuditLog(file)).toMatchObject({ sequence: 2, torn: 0 });
  });

  it.each<[string, () => void]>([
    ['another process appends', () => appendFileSync(file, '{}\n')],
    ['it is cut', () => truncateSync(file, 10)],
    ['it is deleted', () => rmSync(file)],
  ])('refuses to go on when %s', async (_, meddle) => {
    const { log, trouble } = await openLog();
    await log.append(record());
    meddle();
    await expect(log.append(record())).rejects.toMatchObject(unwritable);
    await expect(log.append(record())).rejects.toMatchObject(unwritable);
    expect(trouble).toHaveLength(2);
  });
});

/** What all open files share: for faults to be put in. */
async function fileHandle(): Promise<FileHandle> {
  const handle = await open(import.meta.filename);
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  return prototype;
}
