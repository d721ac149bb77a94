import { constants, fstatSync } from 'node:fs';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { reasonOf } from '@mecai/runtime';
import { type AuditTail, restated, segmentBegun, verifyAuditLog } from './audit-chain.ts';
import { lockAuditLog } from './audit-lock.ts';
import { StandingRecords, segmentFile, segmentsOf, stands, tidySegments } from './audit-segments.ts';
import { sha256Hex } from './digest.ts';
import { SignerError } from './error.ts';

/** Members of one record; the log adds `sequence`, `previous` and `time`. */
export interface AuditRecord {
  readonly event: string;
  readonly sequence?: never;
  readonly previous?: never;
  readonly time?: never;
  readonly [member: string]: unknown;
}

interface Waiting {
  readonly record: AuditRecord;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: SignerError) => void;
}

/** Records in one write. */
const maxBatch = 1024;

/** A write is done once it is on the disk: one trip to libuv's threads where write and fdatasync take two. */
const durable = constants.O_RDWR | constants.O_DSYNC;

export interface AuditLogOptions {
  readonly path: string;
  readonly now: () => Date;
  /** Told of each write that failed. */
  readonly onTrouble: (error: unknown) => void;
  /** Called for each record of the last segment that is there, in order; for a restated one with what it restates. */
  readonly visit?: (record: unknown) => void;
  /** From when on the log goes on in another file. */
  readonly segmentOctets?: number;
}

/** Appends with one durable write for all records that arrived while the last one ran. */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #unlock: () => void;
  readonly #standing: StandingRecords;
  #file: FileHandle;
  #tail: Omit<AuditTail, 'torn' | 'time'>;
  /** There may be octets beyond the tail: of a write that failed. */
  #untidy = false;
  /** The file's name may not be on the disk yet. */
  #nameless = false;
  #nextSegmentAt: number;
  #closed = false;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    options: AuditLogOptions,
    file: FileHandle,
    unlock: () => void,
    { first, sequence, hash, size }: AuditTail,
    standing: StandingRecords,
  ) {
    this.#options = options;
    this.#file = file;
    this.#unlock = unlock;
    this.#tail = { first, sequence, hash, size };
    this.#standing = standing;
    this.#nextSegmentAt = options.segmentOctets ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Checks the chain of the last segment first. A torn last line is cut off. The file is made if it is absent, and
   * nobody else can open it as long as this process has it.
   *
   * @throws SignerError `audit-log-broken`, `audit-log-unwritable`
   */
  static async open(options: AuditLogOptions): Promise<{ log: AuditLog; tail: AuditTail }> {
    const unlock = lockAuditLog(options.path);
    try {
      return await AuditLog.#openLocked(options, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  static async #openLocked(
    options: AuditLogOptions,
    unlock: () => void,
  ): Promise<{ log: AuditLog; tail: AuditTail }> {
    const { path, visit } = options;
    await tidySegments(path);
    await (await open(path, 'a', 0o600)).close();
    // A new file is on the disk only once its directory is.
    await syncDirectory(path);
    const standing = new StandingRecords();
    const tail = await verifyAuditLog(path, {
      visit: (record) => {
        standing.visit(record);
        visit?.(record);
      },
    });
    const newest = (await segmentsOf(path)).at(-1);
    if (newest && newest.first >= tail.first) {
      throw new SignerError('audit-log-broken', `${path} is older than ${newest.file}`);
    }
    const file = await open(path, durable);
    if (tail.torn > 0) await file.truncate(tail.size);
    return { log: new AuditLog(options, file, unlock, tail, standing), tail };
  }

  /** Of the last record on the disk. */
  get sequence(): number {
    return this.#tail.sequence;
  }

  /**
   * Resolves with the record's sequence once it is on the disk.
   *
   * @throws SignerError `audit-log-unwritable`; the record is then not in the log
   */
  append(record: AuditRecord): Promise<number> {
    if (this.#closed) {
      return Promise.reject(new SignerError('audit-log-unwritable', 'audit log: closed'));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** Writes what is waiting, then takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#file.close();
    this.#unlock();
  }

  async #write(): Promise<void> {
    // Until the caller's own turn is over, so that the records of one turn share a write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      if (this.#tail.size >= this.#nextSegmentAt) await this.#beginSegment();
      const batch = this.#waiting.splice(0, maxBatch);
      try {
        const { bytes, standing, ...tail } = this.#next(batch.map(({ record }) => record));
        await this.#commit(bytes);
        const next = this.#tail.sequence + 1;
        this.#tail = { ...this.#tail, ...tail, size: this.#tail.size + bytes.length };
        for (const record of standing) this.#standing.visit(record);
        batch.forEach(({ resolve }, i) => resolve(next + i));
      } catch (cause) {
        this.#options.onTrouble(cause);
        const error = new SignerError('audit-log-unwritable', `audit log: ${reasonOf(cause)}`, { cause });
        for (const { reject } of batch) reject(error);
      }
    }
    // In the same step as the look at what is waiting: whoever comes later starts anew.
    this.#writing = undefined;
  }

  #next(batch: readonly AuditRecord[]): {
    bytes: Buffer;
    standing: readonly unknown[];
    sequence: number;
    hash: string;
  } {
    let { sequence, hash } = this.#tail;
    const time = this.#options.now().toISOString();
    const standing: unknown[] = [];
    const lines = batch.map((record) => {
      const line = JSON.stringify({ sequence: ++sequence, previous: hash, time, ...record });
      hash = sha256Hex(Buffer.from(line));
      if (stands(record.event)) standing.push(JSON.parse(line));
      return `${line}\n`;
    });
    return { bytes: Buffer.from(lines.join('')), standing, sequence, hash };
  }

  /**
   * Goes on in another file, which takes this one's name once it is whole. When that fails, the log goes on as it is.
   */
  async #beginSegment(): Promise<void> {
    const { path, segmentOctets = 0, onTrouble } = this.#options;
    const [next, before] = [`${path}.next`, segmentFile(path, this.#tail.first)];
    const records = this.#standing.all.map((record) => ({ event: restated, record }));
    // Not with each write again, should it fail.
    this.#nextSegmentAt = this.#tail.size + segmentOctets / 16;
    let file: FileHandle | undefined;
    try {
      if (this.#untidy) await this.#tidy();
      const begin = { event: segmentBegun, restated: records.length };
      const { bytes, sequence, hash } = this.#next([begin, ...records]);
      file = await open(next, durable | constants.O_CREAT | constants.O_TRUNC, 0o600);
      await file.writeFile(bytes);
      await file.sync();
      await link(path, before);
      try {
        await rename(next, path);
      } catch (error) {
        await rm(before);
        throw error;
      }
      const old = this.#file;
      this.#file = file;
      file = undefined;
      this.#nameless = true;
      this.#tail = { first: this.#tail.sequence + 1, sequence, hash, size: bytes.length };
      this.#nextSegmentAt = Math.max(segmentOctets, 2 * bytes.length);
      await old.close();
    } catch (error) {
      onTrouble(error);
      await file?.close().catch(onTrouble);
    }
  }

  /** All of it on the disk, or nothing in the log. */
  async #commit(bytes: Buffer): Promise<void> {
    const { size } = this.#tail;
    if (this.#untidy) await this.#tidy();
    if (this.#nameless) await syncDirectory(this.#options.path);
    this.#nameless = false;
    const file = fstatSync(this.#file.fd);
    if (file.size !== size) throw new Error(`${file.size} octets instead of ${size}: not written here`);
    if (file.nlink === 0) throw new Error('the file was deleted');
    this.#untidy = true;
    try {
      await this.#writeAll(bytes);
      this.#untidy = false;
    } catch (cause) {
      // Tried again before the next write if it fails now.
      await this.#tidy().catch(this.#options.onTrouble);
      throw cause;
    }
  }

  /** What was written in part must not stay in front of the next record. */
  async #tidy(): Promise<void> {
    await this.#file.truncate(this.#tail.size);
    this.#untidy = false;
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(
        bytes,
        done,
        bytes.length - done,
        this.#tail.size + done,
      );
      done += bytesWritten;
    }
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path));
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
