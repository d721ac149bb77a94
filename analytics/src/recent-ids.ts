/**
 * Ids of the rows stored last, so that most repetitions are told without asking the store. `since` bounds what
 * it knows: every row stored with `received_at` at or after it is here, so an id that is not here, of a row that
 * cannot have been received before `since`, is new.
 */
export class RecentIds {
  readonly #capacity: number;
  /** 16 octets as Latin-1, in the order stored. */
  readonly #received = new Map<string, number>();
  #since: number;

  /** @param stored rows of the store, with `since` as above */
  constructor(
    stored: Iterable<{ readonly id: string; readonly receivedAt: number }>,
    since: number,
    capacity: number,
  ) {
    this.#since = since;
    this.#capacity = capacity;
    for (const { id, receivedAt } of stored) this.add(id, receivedAt);
  }

  get size(): number {
    return this.#received.size;
  }

  has(id: string): boolean {
    return this.#received.has(compact(id));
  }

  /** Whether absence from here says nothing about a row that may have been received at `earliest`. */
  mayHaveForgotten(earliest: number): boolean {
    return earliest < this.#since;
  }

  add(id: string, receivedAt: number): void {
    this.#received.set(compact(id), receivedAt);
    if (this.#received.size <= this.#capacity) return;
    const [oldest, at] = this.#received.entries().next().value!;
    this.#received.delete(oldest);
    this.#since = Math.max(this.#since, at + 1);
  }
}

// A quarter of the memory of the text, which matters at half a million.
const compact = (id: string) => Buffer.from(id, 'hex').toString('latin1');
