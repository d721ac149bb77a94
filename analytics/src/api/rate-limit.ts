/** A bucket for each key that holds a minute's worth and fills evenly; the longest unused are forgotten. */
export class RateLimit {
  readonly #buckets = new Map<string, { left: number; at: number }>();
  readonly #capacity: number;

  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  /** @returns seconds to wait; 0: go on */
  take(key: string, perMinute: number, now: number): number {
    const before = this.#buckets.get(key) ?? { left: perMinute, at: now };
    const left = Math.min(perMinute, before.left + (Math.max(0, now - before.at) * perMinute) / 60_000);
    this.#buckets.delete(key);
    this.#buckets.set(key, { left: left < 1 ? left : left - 1, at: now });
    if (this.#buckets.size > this.#capacity) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    return left < 1 ? Math.ceil(((1 - left) * 60) / perMinute) : 0;
  }
}
