import { createHmac, timingSafeEqual } from 'node:crypto';

const octets = { time: 6, random: 10, mac: 16 } as const;

/**
 * Nonces for key proofs, without memory: time of issue, randomness, and a MAC over both. One nonce may be used
 * more than once within its life; a proof covers the whole request, so that repeats only what was asked.
 */
export class Nonces {
  #key: Uint8Array;
  readonly #lifetimeMs: number;

  constructor(key: Uint8Array, lifetimeMs = 300_000) {
    this.#key = key;
    this.#lifetimeMs = lifetimeMs;
  }

  /** From now on; nonces of before are good no more. */
  use(key: Uint8Array): void {
    this.#key = key;
  }

  /** @returns 32 octets */
  issue(now: number, random: (octets: number) => Uint8Array): Uint8Array {
    const head = Buffer.alloc(octets.time + octets.random);
    head.writeUIntBE(now, 0, octets.time);
    head.set(random(octets.random), octets.time);
    return Buffer.concat([head, this.#mac(head)]);
  }

  isGood(nonce: Uint8Array, now: number): boolean {
    if (nonce.length !== octets.time + octets.random + octets.mac) return false;
    const bytes = Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length);
    const head = bytes.subarray(0, octets.time + octets.random);
    if (!timingSafeEqual(this.#mac(head), bytes.subarray(head.length))) return false;
    const age = now - head.readUIntBE(0, octets.time);
    return age >= 0 && age <= this.#lifetimeMs;
  }

  #mac(head: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(head).digest().subarray(0, octets.mac);
  }
}
