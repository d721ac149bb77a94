import { fstatSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { reasonOf } from '@mecai/runtime';
import { type AuditTail, verifyAuditLog } from './audit-chain.ts';
import { lockAuditLog } from './audit-lock.ts';
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

/** Appends with one fsync for all records that arrived while the last one ran. */
export class AuditLog {
  readonly #file: FileHandle;
  readonly #unlock: () => void;
  readonly #now: () => Date;
  readonly #onTrouble: (error: unknown) => void;
  #tail: Omit<AuditTail, 'torn'>;
  /** There may be octets beyond the tail: of a write that failed. */
  #untidy = false;
  #closed = false;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    file: FileHandle,
    unlock: () => void,
    { sequence, hash, size }: AuditTail,
    now: () => Date,
    onTrouble: (error: unknown) => void,
  ) {
    this.#file = file;
    this.#unlock = unlock;
    this.#tail = { sequence, hash, size };
    this.#now = now;
    this.#onTrouble = onTrouble;
  }

  /**
   * Checks the whole chain first. A torn last line is cut off. The file is made if it is absent, and nobody else can
   * open it as long as this process has it.
   *
   * @param onTrouble told of each write that failed
   * @param visit called for each record that is there, in order
   * @throws SignerError `audit-log-broken`, `audit-log-unwritable`
   */
  static async open(
    path: string,
    now: () => Date,
    onTrouble: (error: unknown) => void,
    visit?: (record: unknown) => void,
  ): Promise<{ log: AuditLog; tail: AuditTail }> {
    const unlock = lockAuditLog(path);
    try {
      return await AuditLog.#openLocked(path, unlock, now, onTrouble, visit);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  static async #openLocked(
    path: string,
    unlock: () => void,
    now: () => Date,
    onTrouble: (error: unknown) => void,
    visit: ((record: unknown) => void) | undefined,
  ): Promise<{ log: AuditLog; tail: AuditTail }> {
    await (await open(path, 'a', 0o600)).close();
    // A new file is on the disk only once its directory is.
    const directory = await open(dirname(path));
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
    const tail = await verifyAuditLog(path, undefined, visit);
    const file = await open(path, 'r+');
    if (tail.torn > 0) await file.truncate(tail.size);
    return { log: new AuditLog(file, unlock, tail, now, onTrouble), tail };
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
    // Until the caller's own turn is over, so that the records of one turn share an fsync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, maxBatch);
      try {
        const { bytes, ...tail } = this.#next(batch);
        await this.#commit(bytes);
        const first = this.#tail.sequence + 1;
        this.#tail = { ...tail, size: this.#tail.size + bytes.length };
        batch.forEach(({ resolve }, i) => resolve(first + i));
      } catch (cause) {
        this.#onTrouble(cause);
        const error = new SignerError('audit-log-unwritable', `audit log: ${reasonOf(cause)}`, { cause });
        for (const { reject } of batch) reject(error);
      }
    }
    // In the same step as the look at what is waiting: whoever comes later starts anew.
    this.#writing = undefined;
  }

  #next(batch: readonly Waiting[]): { bytes: Buffer; sequence: number; hash: string } {
    let { sequence, hash } = this.#tail;
    const time = this.#now().toISOString();
    const lines = batch.map(({ record }) => {
      const line = JSON.stringify({ sequence: ++sequence, previous: hash, time, ...record });
      hash = sha256Hex(Buffer.from(line));
      return `${line}\n`;
    });
    return { bytes: Buffer.from(lines.join('')), sequence, hash };
  }

  /** All of it on the disk, or nothing in the log. */
  async #commit(bytes: Buffer): Promise<void> {
    const { size } = this.#tail;
    if (this.#untidy) await this.#tidy();
    const file = fstatSync(this.#file.fd);
    if (file.size !== size) throw new Error(`${file.size} octets instead of ${size}: not written here`);
    if (file.nlink === 0) throw new Error('the file was deleted');
    this.#untidy = true;
    try {
      await this.#writeAll(bytes);
      await this.#file.datasync();
      this.#untidy = false;
    } catch (cause) {
      // Tried again before the next write if it fails now.
      await this.#tidy().catch(this.#onTrouble);
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
