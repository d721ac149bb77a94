/**
 * Values with an end, fetched once and kept until then: one load at a time for each key, renewed in the
 * background ahead of the end, failures remembered for a while, the longest unused forgotten first.
 */
import { PkiError } from './error.ts';

export interface Perishable {
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** What it takes in memory, octets. */
  readonly octets: number;
}

export interface CacheLimits {
  readonly entries: number;
  readonly octets: number;
  /** After this a value is renewed even if its end is far. Milliseconds. */
  readonly maxAge: number;
  /** What nobody asked for in this long is forgotten rather than renewed. Milliseconds. */
  readonly maxIdle: number;
  /** After a failure, no new attempt for this long. Milliseconds. */
  readonly retryAfter: number;
}

interface Entry<T> {
  load: (previous: T | undefined) => Promise<T>;
  value: T | undefined;
  /** Milliseconds since 1970, as all times here. */
  refreshAt: number;
  failure: PkiError | undefined;
  retryAt: number;
  usedAt: number;
  loading: Promise<T> | undefined;
}

export class RefreshingCache<T extends Perishable> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #clock: () => Date;
  readonly #limits: CacheLimits;
  #octets = 0;

  constructor(clock: () => Date, limits: CacheLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value while it lasts, else a new one. Rejects with the `PkiError` of a load that failed. */
  get(key: string, load: (previous: T | undefined) => Promise<T>): Promise<T> {
    const now = this.#clock().getTime();
    let entry = this.#entries.get(key);
    if (entry) {
      // Last used is last in the order of insertion.
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      entry.load = load;
      entry.usedAt = now;
    } else {
      entry = {
        load,
        value: undefined,
        refreshAt: 0,
        failure: undefined,
        retryAt: 0,
        usedAt: now,
        loading: undefined,
      };
      this.#entries.set(key, entry);
      this.#evict();
    }
    const { value } = entry;
    if (value && now <= value.nextUpdate.getTime()) {
      // Whoever asks does not wait for what is fetched ahead of time.
      if (now >= entry.refreshAt && now >= entry.retryAt) this.#load(key, entry).catch(() => undefined);
      return Promise.resolve(value);
    }
    if (entry.loading) return entry.loading;
    if (entry.failure && now < entry.retryAt) return Promise.reject(entry.failure);
    return this.#load(key, entry);
  }

  /** Renews what is due; to be called now and then. Resolves when all is done. */
  async refreshDue(): Promise<void> {
    const now = this.#clock().getTime();
    for (const [key, entry] of this.#entries) {
      if (now - entry.usedAt > this.#limits.maxIdle) this.#forget(key, entry);
    }
    const due = [...this.#entries].filter(([, entry]) => now >= entry.refreshAt && now >= entry.retryAt);
    await Promise.allSettled(due.map(([key, entry]) => this.#load(key, entry)));
  }

  #load(key: string, entry: Entry<T>): Promise<T> {
    entry.loading ??= this.#renew(key, entry).finally(() => {
      entry.loading = undefined;
    });
    return entry.loading;
  }

  async #renew(key: string, entry: Entry<T>): Promise<T> {
    try {
      const value = await entry.load(entry.value);
      const now = this.#clock().getTime();
      const { thisUpdate, nextUpdate } = value;
      // At four fifths of its life, or when it is old.
      const life = nextUpdate.getTime() - thisUpdate.getTime();
      entry.refreshAt = Math.min(thisUpdate.getTime() + life * 0.8, now + this.#limits.maxAge);
      // What is past that already is not asked for again at once.
      entry.retryAt = now + Math.min(this.#limits.retryAfter, this.#limits.maxAge);
      if (this.#entries.get(key) === entry) this.#octets += value.octets - (entry.value?.octets ?? 0);
      entry.value = value;
      entry.failure = undefined;
      this.#evict();
      return value;
    } catch (cause) {
      const failure =
        cause instanceof PkiError ? cause : new PkiError('unreachable', 'not loaded', { cause });
      entry.failure = failure;
      entry.retryAt = this.#clock().getTime() + this.#limits.retryAfter;
      throw failure;
    }
  }

  #evict(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.entries && this.#octets <= this.#limits.octets) return;
      this.#forget(key, entry);
    }
  }

  #forget(key: string, entry: Entry<T>): void {
    this.#entries.delete(key);
    this.#octets -= entry.value?.octets ?? 0;
  }
}
