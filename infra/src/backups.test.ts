/** The scripts of docs/operate/backup-and-restore.md, without a network: what they save, leave out, keep and refuse. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import { openDatabase } from '@mecai/database';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { infra, repository } from './testing/files.ts';
import { Runbooks } from './testing/runbooks.ts';

interface AuditLog {
  append(record: { event: string }): Promise<number>;
  close(): Promise<void>;
}

let directory: string;
let runbooks: Runbooks;
let log: AuditLog;
const at = (...parts: string[]) => join(directory, ...parts);
const foldersIn = (kind: string) => readdirSync(at('backups', kind)).toSorted();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-backups-'));
  const files = { admin: at('admin.json'), registryKey: at('registry-key.pem'), httpsCa: at('ca.pem') };
  runbooks = new Runbooks({ directory, files, vrpUrl: 'https://va.test/vrp' });
  copyFileSync(join(infra, 'examples/signer.json'), at('signer.json'));
  const { AuditLog: Log } = (await import(join(repository, 'signer/src/audit-log.ts'))) as {
    AuditLog: { open(options: object): Promise<{ log: AuditLog }> };
  };
  const onTrouble = (error: unknown) => {
    throw error;
  };
  const path = at('audit.jsonl');
  ({ log } = await Log.open({ path, now: () => new Date(), onTrouble, segmentOctets: 3_000 }));
  await record(60);
});
afterAll(async () => {
  await log.close();
  rmSync(directory, { recursive: true, force: true });
});

async function record(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await log.append({ event: 'tried' });
}

/** Folders as of other nights, one an hour. */
function olderFolders(kind: string, count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `20260101T0${i}0000Z`);
  for (const name of names) mkdirSync(at('backups', kind, name), { recursive: true });
  return names;
}

/** Runs a block, which says nothing but what it made. Folders are named after the second. */
async function made(block: string | undefined, more?: Record<string, string>): Promise<string> {
  await delay(1_000 - (Date.now() % 1_000));
  const { code, out, err } = await runbooks.run(block, more);
  expect([code, err]).toEqual([0, '']);
  return out.trim();
}

const signersFolder = (block: string | undefined) => block?.replace('/signer-1', '/audit-log');

it('an audit log is saved while it is written to, with all its segments', async () => {
  const [, backup] = runbooks.blocks('backup-and-restore');
  const writing = new AbortController();
  const writer = (async () => {
    for (; !writing.signal.aborted; await delay(20)) await record(1);
  })();
  const first = await made(backup);
  const second = await made(backup);
  writing.abort();
  await writer;
  const segments = (folder: string) => readdirSync(folder).filter((name) => /^audit\.jsonl\.\d+$/.test(name));
  expect(segments(first).length).toBeGreaterThan(1);
  expect(segments(second).length).toBeGreaterThan(segments(first).length);
  expect(readFileSync(join(second, 'audit.txt'), 'utf8')).toMatch(/the chain holds[^]*in \d+ segments/);
  // What cannot change any more lies there once, and not on the log itself, which a folder may outlive.
  for (const name of segments(first)) {
    expect(statSync(join(first, name)).ino).toBe(statSync(join(second, name)).ino);
    expect(statSync(join(first, name)).ino).not.toBe(statSync(at(name)).ino);
  }
  expect(statSync(first).mode & 0o777).toBe(0o700);
});

it('a database is saved while it is written to, and the drill finds it and the audit log', async () => {
  const [backup, backupAuditLog, restore] = runbooks.blocks('backup-and-restore');
  const file = at('embedded.sqlite');
  const database = await openDatabase({ engine: 'sqlite', file }, Math.random);
  await database.query('create table certificate (n integer primary key)', []);
  let written = 0;
  const writing = new AbortController();
  const writer = (async () => {
    for (; !writing.signal.aborted; await setImmediate())
      await database.query('insert into certificate values ($1)', [++written]);
  })();
  await expect.poll(() => written).toBeGreaterThan(100);
  const before = written - 1;
  const ofDatabase = await made(backup, { DATABASE: file });
  const during = written;
  writing.abort();
  await writer;
  await database.close();
  expect(during).toBeGreaterThan(before);
  const ofLog = await made(backupAuditLog);
  // Of a backup that did not come to its end.
  mkdirSync(`${at('backups/database')}/29991231T000000Z.part`);
  const drill = () => runbooks.run(signersFolder(restore), { DRILL_SERVER: 'sqlite' });
  const restored = await drill();
  expect([restored.code, restored.err]).toEqual([0, '']);
  expect(Number(/^certificate (\d+)$/m.exec(restored.out)?.[1])).toBeGreaterThanOrEqual(before);
  expect(restored.out).toMatch(/the chain holds[^]*the line noted is record \d+/);
  expect(restored.out).toContain(`restored ${ofDatabase}/mecai.dump, checked ${ofLog}\n`);

  // A backup that lacks something is none, though its list of files be made to fit.
  for (const [folder, left, fits, named] of [
    [ofDatabase, 'mecai.dump', false, 'mecai.dump'],
    [ofDatabase, 'SHA256SUMS', false, 'SHA256SUMS'],
    [ofDatabase, 'mecai.dump', true, 'SHA256SUMS'],
    [ofLog, 'audit.jsonl', false, 'audit.jsonl'],
    [ofLog, 'audit.txt', false, 'audit.txt'],
    [ofLog, 'SHA256SUMS', false, 'SHA256SUMS'],
    [ofLog, 'audit.jsonl', true, 'audit.jsonl'],
    [ofLog, 'audit.txt', true, 'audit.txt'],
  ] as const) {
    const sums = join(folder, 'SHA256SUMS');
    const list = readFileSync(sums, 'utf8');
    renameSync(join(folder, left), join(folder, 'elsewhere'));
    if (fits) writeFileSync(sums, list.replace(new RegExp(`^.* ${left}\\n`, 'm'), ''));
    const { code, err } = await drill();
    expect([left, fits, code, err]).toEqual([left, fits, expect.any(Number), expect.stringContaining(named)]);
    expect(code).not.toBe(0);
    renameSync(join(folder, 'elsewhere'), join(folder, left));
    writeFileSync(sums, list);
  }
  expect((await drill()).code).toBe(0);
});

it('seven folders stay, and nothing that is not a backup goes', async () => {
  const [backup, backupAuditLog] = runbooks.blocks('backup-and-restore');
  for (const [kind, block] of [
    ['database', backup],
    ['audit-log', backupAuditLog],
  ] as const) {
    const older = olderFolders(kind, 8);
    writeFileSync(at('backups', kind, '0-notes'), '');
    const newest = await made(block, { DATABASE: at('embedded.sqlite') });
    const left = foldersIn(kind).filter((name) => name.endsWith('Z'));
    expect([kind, left.length, left.at(-1)]).toEqual([kind, 7, newest.split('/').at(-1)]);
    expect(left).not.toContain(older[0]);
    expect(foldersIn(kind)).toContain('0-notes');
  }
});

it('what fails leaves nothing, and takes nothing away', async () => {
  const [backup, backupAuditLog] = runbooks.blocks('backup-and-restore');
  const before = [foldersIn('database'), foldersIn('audit-log')];
  const none = await runbooks.run(backup, { DATABASE: at('none.sqlite') });
  expect(none.code).not.toBe(0);
  const forged = at('forged.jsonl');
  writeFileSync(forged, `${readFileSync(at('audit.jsonl'), 'utf8')}{}\n`);
  const broken = await runbooks.run(backupAuditLog?.replace(at('audit.jsonl'), forged));
  expect([broken.code, broken.err]).toEqual([1, expect.stringContaining('sequence undefined')]);
  expect([foldersIn('database'), foldersIn('audit-log')]).toEqual(before);
});
