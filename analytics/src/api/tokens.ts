import { hash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type Logger, RuntimeError } from '@mecai/runtime';
import * as z from 'zod';

export const scopes = ['read', 'sql', 'operate'] as const;
export type Scope = (typeof scopes)[number];

const file = z.array(
  z.strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
    /** SHA-256 of the token, hexadecimal. A token is 32 random octets: nothing slower is needed. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    scopes: z.array(z.enum(scopes)).min(1),
    requestsPerMinute: z.int().min(1).optional(),
  }),
);

export type Token = z.output<typeof file>[number];

/** The tokens of a file, which is read again when it is another one. */
export class Tokens {
  readonly #file: string | undefined;
  readonly #log: Logger;
  #tokens: readonly Token[] = [];
  #version = '';

  /** @throws RuntimeError when the file cannot be read or is not one of tokens */
  constructor(path: string | undefined, log: Logger) {
    this.#file = path;
    this.#log = log;
    if (path === undefined) return;
    try {
      this.#read(path);
    } catch (cause) {
      throw new RuntimeError('bad-configuration', `${path}: ${(cause as Error).message}`, { cause });
    }
  }

  find(token: string): Token | undefined {
    if (this.#file !== undefined) {
      try {
        this.#read(this.#file);
      } catch (error) {
        this.#log.error({ err: error }, 'tokens not read; those before stay in use');
      }
    }
    const digest = hash('sha256', token, 'buffer');
    // All are compared, so that time tells nothing.
    return this.#tokens.filter(({ sha256 }) => timingSafeEqual(Buffer.from(sha256, 'hex'), digest))[0];
  }

  #read(path: string): void {
    const { mtimeMs, size, ino } = statSync(path);
    const version = `${mtimeMs} ${size} ${ino}`;
    if (version === this.#version) return;
    this.#version = version;
    this.#tokens = file.parse(JSON.parse(readFileSync(path, 'utf8')));
  }
}
