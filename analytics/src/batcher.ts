import { setTimeout as delay } from 'node:timers/promises';

/** Gathers items into batches, each complete when it is full or its first item has waited long enough. */
export class Batcher<T> {
  readonly #rows: number;
  readonly #ms: number;
  #items: T[] = [];
  #closed = false;
  #changed = Promise.withResolvers<false>();

  constructor({ rows, ms }: { rows: number; ms: number }) {
    this.#rows = rows;
    this.#ms = ms;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length === 1 || this.#items.length === this.#rows) this.#wake();
  }

  /** What is there makes up the last batches; later items are still taken. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** The next batch, of at most `rows` items; empty once closed and drained. */
  async take(): Promise<readonly T[]> {
    while (this.#items.length === 0 && !this.#closed) await this.#changed.promise;
    const waited = new AbortController();
    const late = delay(this.#ms, true, { signal: waited.signal }).catch(() => true);
    while (this.#items.length < this.#rows && !this.#closed) {
      if (await Promise.race([late, this.#changed.promise])) break;
    }
    waited.abort();
    return this.#items.splice(0, this.#rows);
  }

  #wake(): void {
    this.#changed.resolve(false);
    this.#changed = Promise.withResolvers();
  }
}
