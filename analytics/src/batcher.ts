import { setTimeout as delay } from 'node:timers/promises';

/** While more wait than a batch holds, its first item waits this many times as long: large batches cost the store less. */
const patience = 20;

/** Gathers items into batches, each complete when it is full or its first item has waited long enough. */
export class Batcher<Batch extends { readonly size: number }> {
  readonly #rows: number;
  readonly #ms: number;
  readonly #make: () => Batch;
  readonly #behind: () => number;
  /** In the order begun; items go into the last. */
  readonly #batches: Batch[];
  #closed = false;
  #changed = Promise.withResolvers<false>();

  /**
   * @param make an empty batch
   * @param behind items that are still to come
   */
  constructor({ rows, ms }: { rows: number; ms: number }, make: () => Batch, behind: () => number) {
    this.#rows = rows;
    this.#ms = ms;
    this.#make = make;
    this.#behind = behind;
    this.#batches = [make()];
  }

  /** Where the next item goes; `added` is to be told. */
  get current(): Batch {
    return this.#batches.at(-1)!;
  }

  added(): void {
    const { size } = this.current;
    if (size >= this.#rows) this.seal();
    else if (size === 1) this.#wake();
  }

  /** The current batch is complete. */
  seal(): void {
    if (this.current.size > 0) this.#batches.push(this.#make());
    this.#wake();
  }

  /** What is there makes up the last batches; later items are still taken. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** The next batch; an empty one once closed and drained. */
  async take(): Promise<Batch> {
    while (this.#batches[0]!.size === 0 && !this.#closed) await this.#changed.promise;
    for (let waits = 0; waits === 0 || (waits < patience && this.#behind() > this.#rows); waits++) {
      const waited = new AbortController();
      const late = delay(this.#ms, true, { signal: waited.signal }).catch(() => true);
      while (!this.#complete && !(await Promise.race([late, this.#changed.promise])));
      waited.abort();
      if (this.#complete) break;
    }
    if (this.#batches.length === 1) this.#batches.push(this.#make());
    return this.#batches.shift()!;
  }

  get #complete(): boolean {
    return this.#batches.length > 1 || this.#closed;
  }

  #wake(): void {
    this.#changed.resolve(false);
    this.#changed = Promise.withResolvers();
  }
}
