/** The files of an audit log: `<log>` is the segment that grows, `<log>.<first sequence, 12 digits>` those before. */
import { createReadStream } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type AuditPosition,
  type VerifiedAuditLog,
  restated,
  segmentBegun,
  verifyAuditLog,
  verifyChain,
} from './audit-chain.ts';
import { SignerError } from './error.ts';

export interface Segment {
  readonly file: string;
  /** Sequence of its first record. */
  readonly first: number;
}

export const segmentFile = (log: string, first: number): string =>
  `${log}.${String(first).padStart(12, '0')}`;

/** Those before the one that grows, oldest first. */
export async function segmentsOf(log: string, directory = dirname(log)): Promise<Segment[]> {
  const name = basename(log);
  return (await readdir(directory))
    .filter((one) => one.startsWith(`${name}.`) && /^\d{12}$/.test(one.slice(name.length + 1)))
    .map((one) => ({ file: join(directory, one), first: Number(one.slice(name.length + 1)) }))
    .toSorted((a, b) => a.first - b.first);
}

/**
 * After a crash between the steps of a new segment: the log is then still the old one, under two names.
 *
 * @throws SignerError `audit-log-broken` if segments are there and the log is not
 */
export async function tidySegments(log: string): Promise<void> {
  await rm(`${log}.next`, { force: true });
  const segments = await segmentsOf(log);
  const own = await stat(log).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    if (segments.length === 0) return undefined;
    throw new SignerError('audit-log-broken', `${log} is not there, though segments before it are`);
  });
  for (const { file } of segments) {
    const { ino, dev } = await stat(file);
    if (own?.ino === ino && own.dev === dev) await rm(file);
  }
}

/** What is read again when a signer starts, and the member that tells the records of a kind apart. */
const standing = new Map([
  ['distrust-set', 'id'],
  ['distrust-lifted', 'id'],
  ['registry-updated', ''],
  ['directory-published', 'version'],
  ['va-in-use', 'key'],
]);

export const stands = (event: string): boolean => standing.has(event);

/**
 * What of a log has to be known to go on without it: the distrust list, the registry in force, the directories that
 * vouchers name.
 */
export class StandingRecords {
  readonly #records = new Map<string, unknown>();

  /** @param record whole, as it stands in the log */
  visit(record: unknown): void {
    const { event, ...members }: Readonly<Record<string, unknown>> = Object(record);
    const keyed = typeof event === 'string' ? standing.get(event) : undefined;
    if (keyed === undefined) return;
    // The last of each key stands.
    const key = `${String(event)} ${String(members[keyed])}`;
    this.#records.delete(key);
    this.#records.set(key, record);
  }

  /** In the order in which they were written. */
  get all(): readonly unknown[] {
    return [...this.#records.values()];
  }
}

/**
 * Reads every segment that is there, checks the chain through all of them, and that each restates what stood before.
 *
 * @param archived directory with segments that were moved off the signer
 * @throws SignerError `audit-log-broken`; the system's error if there is no file
 */
export async function verifySegments(
  log: string,
  { noted, archived }: { readonly noted?: string | undefined; readonly archived?: string | undefined } = {},
): Promise<VerifiedAuditLog & { readonly segments: number }> {
  const older = new Map<number, string>();
  for (const directory of [...(archived === undefined ? [] : [archived]), dirname(log)]) {
    for (const { file, first } of await segmentsOf(log, directory)) older.set(first, file);
  }
  const files = [...older].toSorted(([a], [b]) => a - b).map(([, file]) => file);
  const check = new RestatementCheck();
  let after: AuditPosition | undefined;
  let [begins, notedAt]: [begins: number | undefined, notedAt: number | undefined] = [undefined, undefined];
  for (const file of files) {
    const each = (record: unknown) => check.see(file, record);
    const found = await verifyChain(file, createReadStream(file, { highWaterMark: 1 << 20 }), {
      noted,
      after,
      each,
    });
    if (found.torn > 0) throw new SignerError('audit-log-broken', `${file} ends within a record`);
    begins ??= found.first;
    notedAt ??= found.noted;
    after = found;
  }
  const last = await verifyAuditLog(log, { noted, after, each: (record) => check.see(log, record) });
  check.end(log);
  const segments = files.length + 1;
  return { ...last, first: begins ?? last.first, noted: notedAt ?? last.noted, segments };
}

/** Whether each segment restates what stood before it: nothing less, nothing else. */
class RestatementCheck {
  readonly #standing = new StandingRecords();
  #seen = 0;
  #expected: unknown[] = [];
  /** Restatements that are due. */
  #due = 0;

  /** @throws SignerError `audit-log-broken` */
  see(file: string, record: unknown): void {
    const found: Readonly<Record<string, unknown>> = Object(record);
    const wrong = (why: string) =>
      new SignerError('audit-log-broken', `${file}, record ${String(found['sequence'])}: ${why}`);
    if (found['event'] === segmentBegun) {
      const standing = this.#standing.all;
      this.#due = Number(found['restated']);
      // Of a log whose beginning is elsewhere there is nothing to compare with.
      if (this.#seen > 0 && this.#due !== standing.length) {
        throw wrong(`restates ${this.#due} records of ${standing.length}`);
      }
      this.#expected = this.#seen > 0 ? [...standing] : [];
    } else if (this.#due > 0) {
      if (found['event'] !== restated) throw wrong(`${this.#due} records are not restated`);
      const [expected] = this.#expected.splice(0, 1);
      if (expected !== undefined && !isDeepStrictEqual(found['record'], expected)) {
        throw wrong('restates what was not so');
      }
      this.#due--;
      this.#standing.visit(found['record']);
    } else if (found['event'] === restated) {
      throw wrong('restates where no segment begins');
    } else {
      this.#standing.visit(record);
    }
    this.#seen++;
  }

  /** @throws SignerError `audit-log-broken` */
  end(file: string): void {
    if (this.#due === 0) return;
    throw new SignerError('audit-log-broken', `${file}: ${this.#due} records are not restated`);
  }
}
