import { truncate } from '@mecai/addresses';
import { AgedMap } from '@mecai/runtime';

export interface BucketOptions {
  readonly perMinute: number;
  readonly burst: number;
}

/** Token buckets by key. At most `maxKeys` are kept; the one untouched for longest goes first, and is full by then. */
export class RateLimiter {
  readonly #options: () => BucketOptions;
  readonly #maxKeys: number;
  readonly #buckets = new AgedMap<string, { tokens: number; at: number }>();

  /** @param options or where they are to be had, if they change */
  constructor(options: BucketOptions | (() => BucketOptions), maxKeys = 100_000) {
    this.#options = typeof options === 'function' ? options : () => options;
    this.#maxKeys = maxKeys;
  }

  /**
   * Takes one token.
   *
   * @param now milliseconds, monotonic or not
   * @returns 0, or the seconds until the next token
   */
  take(key: string, now: number): number {
    const { perMinute, burst } = this.#options();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, bucket.tokens + (Math.max(now - bucket.at, 0) * perMinute) / 60_000);
    const allowed = tokens >= 1;
    // Deleting first keeps the map in order of last use.
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > this.#maxKeys) this.#buckets.delete(this.#buckets.oldest![0]);
    return allowed ? 0 : Math.ceil(((1 - tokens) * 60) / perMinute);
  }
}

/** An IPv4 address, or the /64 an IPv6 address is in: what one party is given. */
export const limitKey = (address: Uint8Array): string =>
  Buffer.from(address.length === 16 ? truncate(address, 64) : address).toString('hex');
