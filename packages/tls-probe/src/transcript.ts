import { createHash, type Hash } from 'node:crypto';
import { hashSizes } from './key-schedule.ts';
import type { HashName } from './cipher-suites.ts';

/** The running hash of all handshake messages (RFC 8446 section 4.4.1). */
export class Transcript {
  #waiting: Buffer[] = [];
  #hash: Hash | undefined;
  #name: HashName | undefined;

  add(whole: Buffer): void {
    if (this.#hash) this.#hash.update(whole);
    else this.#waiting.push(whole);
  }

  /** The hash is known with the cipher suite. */
  choose(name: HashName): void {
    if (this.#hash) return;
    this.#name = name;
    this.#hash = createHash(name);
    for (const whole of this.#waiting) this.#hash.update(whole);
    this.#waiting = [];
  }

  digest(): Buffer {
    return this.#hash!.copy().digest();
  }

  /** After a HelloRetryRequest the first ClientHello is replaced by a message_hash(254) of it. */
  restart(): void {
    const size = hashSizes[this.#name!];
    const digest = this.#hash!.digest();
    this.#hash = createHash(this.#name!);
    this.#hash.update(Buffer.from([254, 0, 0, size]));
    this.#hash.update(digest);
  }
}
