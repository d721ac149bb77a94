/**
 * The newest CRL of each issuer and scope that this signer has ever accepted, kept in a file: after a restart too,
 * nobody can hand in an older one that has not expired.
 */
import { readFileSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Crl } from '@mecai/pki';
import * as z from 'zod';
import { SignerError } from './error.ts';

export interface NewestCrl {
  readonly number: bigint;
  /** Milliseconds since 1970. */
  readonly thisUpdate: number;
}

/** Remembered at most; what was renewed longest ago goes first. */
const maxEntries = 100_000;
/** Until a change is on the disk, milliseconds. */
const writeAfterMs = 1_000;

const contents = z.record(
  z.string().max(4_096),
  z.tuple([z.string().regex(/^-?[0-9]{1,50}$/), z.int().nonnegative()]),
);

export class NewestCrls {
  readonly #file: string | undefined;
  readonly #onTrouble: (error: unknown) => void;
  readonly #newest: Map<string, NewestCrl>;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    file: string | undefined,
    newest: Map<string, NewestCrl>,
    onTrouble: (error: unknown) => void,
  ) {
    this.#file = file;
    this.#newest = newest;
    this.#onTrouble = onTrouble;
  }

  /** Only for as long as the process lives. */
  static inMemory(): NewestCrls {
    return new NewestCrls(undefined, new Map(), () => undefined);
  }

  /**
   * @param onTrouble told when the file could not be written
   * @throws SignerError `unusable-configuration` for a file that cannot be read: it must not be passed over
   */
  static open(file: string, onTrouble: (error: unknown) => void): NewestCrls {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      return new NewestCrls(file, new Map(), onTrouble);
    }
    try {
      const entries = Object.entries(contents.parse(JSON.parse(text)));
      const newest = entries.map(([key, [number, thisUpdate]]): [string, NewestCrl] => [
        key,
        { number: BigInt(number), thisUpdate },
      ]);
      return new NewestCrls(file, new Map(newest), onTrouble);
    } catch (cause) {
      throw new SignerError('unusable-configuration', `${file}: not a list of the newest CRLs`, { cause });
    }
  }

  /** Whether a newer one is known. CRL numbers rise, and so do their times (RFC 5280 section 5.2.3). */
  isOld(key: string, { number, thisUpdate }: Pick<Crl, 'number' | 'thisUpdate'>): boolean {
    const newest = this.#newest.get(key);
    return newest !== undefined && (number < newest.number || thisUpdate.getTime() < newest.thisUpdate);
  }

  note(key: string, { number, thisUpdate }: Pick<Crl, 'number' | 'thisUpdate'>): void {
    this.#newest.delete(key);
    this.#newest.set(key, { number, thisUpdate: thisUpdate.getTime() });
    if (this.#newest.size > maxEntries) this.#newest.delete(this.#newest.keys().next().value!);
    if (this.#file === undefined) return;
    this.#timer ??= setTimeout(() => this.#write(), writeAfterMs).unref();
  }

  /** What is not on the disk yet goes there. */
  async close(): Promise<void> {
    if (this.#timer) {
      clearTimeout(this.#timer);
      this.#write();
    }
    await this.#writing;
  }

  #write(): void {
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#replace()).catch(this.#onTrouble);
  }

  /** Whole or not at all. */
  async #replace(): Promise<void> {
    const file = this.#file!;
    const entries = Array.from(this.#newest, ([key, { number, thisUpdate }]) => [
      key,
      [String(number), thisUpdate],
    ]);
    await written(await open(`${file}.new`, 'w', 0o600), JSON.stringify(Object.fromEntries(entries)));
    await rename(`${file}.new`, file);
    await written(await open(dirname(file)));
  }
}

/** And on the disk. */
async function written(file: FileHandle, text?: string): Promise<void> {
  try {
    if (text !== undefined) await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
