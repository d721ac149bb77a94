import type { HashName } from './cipher-suites.ts';
import { pooledDigest } from './key-schedule.ts';

/** Holds the handshake with nearly every server. Bytes. */
const usualSize = 4_096;

/**
 * All handshake messages, to be hashed (RFC 8446 section 4.4.1). Hashed anew each time: it is asked for four times, and
 * copies of a running hash cost more.
 */
export class Transcript {
  #bytes = Buffer.allocUnsafe(usualSize);
  #size = 0;
  #name: HashName | undefined;

  add(whole: Buffer): void {
    const size = this.#size + whole.length;
    if (size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(size, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#size);
      this.#bytes = larger;
    }
    whole.copy(this.#bytes, this.#size);
    this.#size = size;
  }

  /** The hash is known with the cipher suite. */
  choose(name: HashName): void {
    this.#name ??= name;
  }

  digest(): Buffer {
    return pooledDigest(this.#name!, this.#bytes.subarray(0, this.#size));
  }

  /** After a HelloRetryRequest the first ClientHello is replaced by a message_hash(254) of it. */
  restart(): void {
    const digest = this.digest();
    this.#size = 0;
    this.add(Buffer.from([254, 0, 0, digest.length]));
    this.add(digest);
  }
}
