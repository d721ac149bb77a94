import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { SignerError } from './error.ts';

/**
 * Hash-chained log, one JSON object a line:
 *
 *   {"sequence":7,"previous":"<SHA-256 of line 6, hex>","time":"2026-11-22T10:00:00.000Z","event":…}
 *
 * The first line's `previous` is 64 zeros. A line ends in "\n"; bytes after the last "\n" are a write that was
 * cut off and never acknowledged.
 */
export interface AuditRecord {
  readonly event: string;
  readonly [member: string]: unknown;
}

export interface AuditTail {
  /** Sequence of the last record, 0 if there is none. */
  readonly sequence: number;
  /** SHA-256 of the last line without its line end, hex. */
  readonly hash: string;
  /** Octets up to and including the last line end. */
  readonly size: number;
  /** Octets after it. */
  readonly torn: number;
}

const genesis = '0'.repeat(64);
const sha256 = (line: string) => createHash('sha256').update(line).digest('hex');

/**
 * Reads the whole log and checks the chain.
 *
 * @throws SignerError `audit-log-broken`, naming the first wrong line
 */
export async function verifyAuditLog(file: string): Promise<AuditTail> {
  let sequence = 0;
  let hash = genesis;
  let size = 0;
  let rest = '';
  const stream = createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 });
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      let record: { sequence?: unknown; previous?: unknown };
      try {
        record = JSON.parse(line) as typeof record;
      } catch (cause) {
        throw broken(file, sequence + 1, 'not JSON', cause);
      }
      if (record.sequence !== sequence + 1)
        throw broken(file, sequence + 1, `sequence ${String(record.sequence)}`);
      if (record.previous !== hash) throw broken(file, sequence + 1, 'hash of the line before does not fit');
      sequence++;
      hash = sha256(line);
      size += Buffer.byteLength(line) + 1;
    }
  }
  return { sequence, hash, size, torn: Buffer.byteLength(rest) };
}

const broken = (file: string, line: number, why: string, cause?: unknown) =>
  new SignerError('audit-log-broken', `${file}, line ${line}: ${why}`, { cause });

interface Waiting {
  readonly record: AuditRecord;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: SignerError) => void;
}

/** Appends with one fsync for all records that arrived while the last one ran. */
export class AuditLog {
  readonly #file: FileHandle;
  readonly #now: () => Date;
  readonly #onTrouble: (error: unknown) => void;
  #tail: { sequence: number; hash: string; size: number };
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    file: FileHandle,
    tail: AuditTail,
    now: () => Date,
    onTrouble: (error: unknown) => void,
  ) {
    this.#file = file;
    this.#tail = tail;
    this.#now = now;
    this.#onTrouble = onTrouble;
  }

  /** Checks the whole chain first. A torn last line is cut off. */
  static async open(
    path: string,
    now: () => Date,
    onTrouble: (error: unknown) => void,
  ): Promise<{ log: AuditLog; tail: AuditTail }> {
    await (await open(path, 'a', 0o600)).close();
    const tail = await verifyAuditLog(path);
    const file = await open(path, 'r+');
    if (tail.torn > 0) await file.truncate(tail.size);
    return { log: new AuditLog(file, tail, now, onTrouble), tail };
  }

  get sequence(): number {
    return this.#tail.sequence;
  }

  /**
   * Resolves with the record's sequence once it is on the disk.
   *
   * @throws SignerError `audit-log-unwritable`; the record is then not in the log
   */
  append(record: AuditRecord): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    // One turn of the event loop, so that records of the same moment share an fsync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      let { sequence, hash } = this.#tail;
      const time = this.#now().toISOString();
      const lines = batch.map(({ record }) => {
        const line = JSON.stringify({ sequence: ++sequence, previous: hash, time, ...record });
        hash = sha256(line);
        return `${line}\n`;
      });
      const bytes = Buffer.from(lines.join(''));
      try {
        await this.#writeAll(bytes);
        await this.#file.datasync();
      } catch (cause) {
        // What was written in part must not stay in front of the next record.
        await this.#file.truncate(this.#tail.size).catch(this.#onTrouble);
        this.#onTrouble(cause);
        const error = new SignerError('audit-log-unwritable', `audit log: ${(cause as Error).message}`, {
          cause,
        });
        for (const { reject } of batch) reject(error);
        continue;
      }
      const first = this.#tail.sequence + 1;
      this.#tail = { sequence, hash, size: this.#tail.size + bytes.length };
      batch.forEach(({ resolve }, i) => resolve(first + i));
    }
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
