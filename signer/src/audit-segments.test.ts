import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditLog, type AuditRecord } from './audit-log.ts';
import { segmentFile, segmentsOf, verifySegments } from './audit-segments.ts';
import { DistrustList } from './distrust-list.ts';
import { sha256Hex } from './digest.ts';
import type { WriterReport } from './testing/audit-writer.ts';
import { writesAreDurable } from './testing/durable-writes.ts';

let directory: string;
let file: string;
const stops: (() => Promise<unknown> | void)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'audit-segments-'));
  file = join(directory, 'audit.jsonl');
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  rmSync(directory, { recursive: true });
});

const by = { at: 1, reason: 'key on sale', author: 'Ada', identity: 'spiffe://mecai.test/operator' };
const filler = 'x'.repeat(400);
const tested = (n: number): AuditRecord => ({ event: 'tested', n, filler });
const broken = { code: 'audit-log-broken' };
const linesOf = (one: string) => readFileSync(one, 'utf8').split('\n').slice(0, -1);
const recordsOf = (one: string) => linesOf(one).map((line): Record<string, unknown> => JSON.parse(line));

/** An open log whose segments take eight records or so, and what a signer remembers of it. */
async function openLog(segmentOctets = 4_096) {
  const trouble: unknown[] = [];
  const distrust = new DistrustList();
  let replayed = 0;
  const { log } = await AuditLog.open({
    path: file,
    now: () => new Date(Date.UTC(2026, 10, 22)),
    onTrouble: (error) => trouble.push(error),
    visit: (record) => {
      replayed++;
      distrust.replay(record);
    },
    segmentOctets,
  });
  stops.push(() => log.close().catch(() => undefined));
  return { log, trouble, distrust, replayed };
}

/** Distrust of three CAs, one of it lifted, and fillers between. */
async function written(): Promise<void> {
  const { log, distrust } = await openLog();
  const audit = (record: AuditRecord) => log.append(record);
  for (const [n, organization] of ['One', 'Two', 'Three'].entries()) {
    await distrust.set({ id: `00000000000${n}`, subject: { kind: 'operator', organization } }, by, audit);
    for (let i = 0; i < 12; i++) await log.append(tested(i));
  }
  await distrust.lift('000000000001', by, audit);
  for (let i = 0; i < 12; i++) await log.append(tested(i));
  await log.close();
}
const inForce = ({ distrust }: { distrust: DistrustList }) =>
  distrust.inForce(2).map(({ subject }) => subject.kind === 'operator' && subject.organization);

/** Changes a record of a segment and makes the hashes after it fit, through all files. */
async function rewrite(change: (record: Record<string, unknown>) => Record<string, unknown>) {
  let previous: string | undefined;
  for (const one of [...(await segmentsOf(file)).map((segment) => segment.file), file]) {
    const lines = recordsOf(one).map((record) => {
      const line = JSON.stringify({ ...change(record), ...(previous && { previous }) });
      previous = sha256Hex(Buffer.from(line));
      return line;
    });
    writeFileSync(one, `${lines.join('\n')}\n`);
  }
}

describe('a log that has grown', () => {
  it('goes on in another file, with sequence and hashes, and says again what stands', async () => {
    await written();
    const older = await segmentsOf(file);
    expect(older.length).toBeGreaterThan(3);
    expect(older[0]).toEqual({ file: segmentFile(file, 1), first: 1 });
    const last = await verifySegments(file);
    expect(last).toMatchObject({ first: 1, torn: 0, segments: older.length + 1 });
    const [begin, ...rest] = recordsOf(file);
    // Three entries and one that was lifted, each as it was.
    expect(begin).toMatchObject({ event: 'segment-begun', restated: 4 });
    expect(rest.slice(0, 4).map(({ event, record }) => [event, record])).toMatchObject([
      ['restated', { event: 'distrust-set', id: '000000000000', sequence: 1, previous: '0'.repeat(64) }],
      ['restated', { event: 'distrust-set', id: '000000000001' }],
      ['restated', { event: 'distrust-set', id: '000000000002' }],
      ['restated', { event: 'distrust-lifted', id: '000000000001' }],
    ]);
  });

  it('writes the new file as durably as the first', async () => {
    const { log } = await openLog();
    while ((await segmentsOf(file)).length === 0) await log.append(tested(0));
    expect(writesAreDurable(file)).toBe(true);
  });

  it('needs only the last file to go on: the others can be moved away', async () => {
    await written();
    const { sequence, hash, first } = await verifySegments(file);
    expect(first).toBe(1);
    const archive = join(directory, 'archive');
    mkdirSync(archive);
    for (const segment of await segmentsOf(file))
      renameSync(segment.file, join(archive, segment.file.split('/').at(-1)!));
    const again = await openLog();
    expect(inForce(again)).toEqual(['One', 'Three']);
    expect(again.distrust.list(true)).toHaveLength(3);
    expect(again.replayed).toBeLessThan(15);
    expect(await again.log.append(tested(0))).toBe(sequence + 1);
    await again.log.close();
    // What is here alone, and with what was moved away.
    const here = await verifySegments(file, { noted: hash });
    expect(here).toMatchObject({ noted: sequence, segments: 1 });
    expect(here.first).toBeGreaterThan(1);
    expect(await verifySegments(file, { archived: archive, noted: '0'.repeat(64) })).toMatchObject({
      first: 1,
      noted: 0,
      hash: here.hash,
    });
  });

  it('finds a hash noted in any segment', async () => {
    await written();
    const [first] = await segmentsOf(file);
    const noted = sha256Hex(Buffer.from(linesOf(first!.file)[3]!));
    expect((await verifySegments(file, { noted })).noted).toBe(4);
  });

  it.each<[string, () => Promise<void>]>([
    ['a segment is missing in the middle', async () => rmSync((await segmentsOf(file))[1]!.file)],
    [
      'a segment was changed',
      async () => {
        const { file: one } = (await segmentsOf(file))[1]!;
        writeFileSync(one, readFileSync(one, 'utf8').replace('tested', 'tasted'));
      },
    ],
    [
      'a segment was cut',
      async () => {
        const { file: one } = (await segmentsOf(file))[1]!;
        writeFileSync(one, readFileSync(one).subarray(0, -5));
      },
    ],
    [
      'a segment forgets an entry, all hashes fitting',
      () => rewrite((record) => (record['event'] === 'restated' ? { ...record, event: 'tested' } : record)),
    ],
    [
      'a segment counts too few entries, all hashes fitting',
      () => rewrite((record) => (record['restated'] === 4 ? { ...record, restated: 0 } : record)),
    ],
    [
      'a segment restates what was not so, all hashes fitting',
      () =>
        rewrite((record) =>
          record['event'] === 'restated'
            ? { ...record, record: { ...(record['record'] as object), id: 'ffffffffffff' } }
            : record,
        ),
    ],
  ])('shows that %s', async (_, meddle) => {
    await written();
    await verifySegments(file);
    await meddle();
    await expect(verifySegments(file)).rejects.toMatchObject(broken);
  });

  it('an older file in the log’s place is noticed at the start', async () => {
    await written();
    const [first] = await segmentsOf(file);
    writeFileSync(file, readFileSync(first!.file));
    await expect(openLog()).rejects.toMatchObject({
      ...broken,
      message: expect.stringMatching(/older than/),
    });
  });

  it('a log that is gone is not begun anew beside its segments', async () => {
    await written();
    rmSync(file);
    await expect(openLog()).rejects.toMatchObject({ ...broken, message: expect.stringMatching(/not there/) });
  });
});

describe('a new segment that fails', () => {
  it('leaves the log as it is, which goes on', async () => {
    const { log, trouble } = await openLog();
    // Where the new file would be written there is a directory.
    mkdirSync(`${file}.next`);
    for (let i = 0; i < 40; i++) await log.append(tested(i));
    expect(trouble.length).toBeGreaterThan(0);
    expect(trouble.length).toBeLessThan(40);
    expect(await segmentsOf(file)).toEqual([]);
    rmSync(`${file}.next`, { recursive: true });
    for (let i = 0; i < 4; i++) await log.append(tested(i));
    expect(await segmentsOf(file)).toHaveLength(1);
    await log.close();
    // One record more: the beginning of the segment.
    expect((await verifySegments(file)).sequence).toBe(45);
  });

  it('cut off between its two names, is the old log', async () => {
    const { log } = await openLog(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 5; i++) await log.append(tested(i));
    await log.close();
    linkSync(file, segmentFile(file, 1));
    writeFileSync(`${file}.next`, '{"half');
    const again = await openLog();
    expect(await again.log.append(tested(5))).toBe(6);
    await again.log.close();
    expect(await verifySegments(file)).toMatchObject({ sequence: 6, segments: 1 });
  });
});

it('killed at any moment, over and over while segments come and go, has lost no record it acknowledged', async () => {
  let last = 0;
  for (let round = 0; round < 3; round++) {
    const writer = await startWriter();
    const target = last + 20 + Math.floor(Math.random() * 30);
    writer.child.send({ flood: true });
    while (writer.acknowledged() < target) await once(writer.child, 'message');
    writer.child.kill('SIGKILL');
    await once(writer.child, 'close');
    last = Math.max(last, writer.acknowledged());
    const found = await verifySegmentsOfKilled();
    expect(found.first).toBe(1);
    expect(found.sequence).toBeGreaterThanOrEqual(last);
  }
  expect((await segmentsOf(file)).length).toBeGreaterThan(3);

  /** As the next start tidies up: a segment and the log may be one file still. */
  async function verifySegmentsOfKilled() {
    const { log } = await openLog(Number.POSITIVE_INFINITY);
    await log.close();
    return verifySegments(file);
  }

  async function startWriter() {
    const script = join(import.meta.dirname, 'testing/audit-writer.ts');
    const child: ChildProcess = spawn(process.execPath, [script, file, '4096'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    stops.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    let newest = 0;
    child.on('message', ({ acknowledged = 0 }: WriterReport) => (newest = Math.max(newest, acknowledged)));
    await once(child, 'message');
    return { child, acknowledged: () => newest };
  }
}, 120_000);
