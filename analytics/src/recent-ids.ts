/**
 * Ids of the rows stored last, so that most repetitions are told without asking the store. `since` bounds what
 * it knows: every row stored with `received_at` at or after it is here, so an id that is not here, of a row that
 * cannot have been received before `since`, is new.
 *
 * A ring of ids in the order stored, and an open-addressed table of places in it: half a million in 18 MB, and
 * nothing for the garbage collector to follow. Ids are digests, so any of their bits are hash enough.
 */
export class RecentIds {
  readonly #capacity: number;
  /** Four words an id. */
  readonly #ids: Uint32Array;
  readonly #receivedAt: Float64Array;
  /** Place in the ring plus one; 0: free. */
  readonly #table: Uint32Array;
  readonly #mask: number;
  /** Place of the next id. */
  #next = 0;
  #size = 0;
  #since: number;

  /** @param stored rows of the store, with `since` as above */
  constructor(
    stored: Iterable<{ readonly id: string; readonly receivedAt: number }>,
    since: number,
    capacity: number,
  ) {
    this.#since = since;
    this.#capacity = capacity;
    this.#ids = new Uint32Array(4 * capacity);
    this.#receivedAt = new Float64Array(capacity);
    this.#table = new Uint32Array(2 ** Math.ceil(Math.log2(2 * capacity)));
    this.#mask = this.#table.length - 1;
    for (const { id, receivedAt } of stored) this.add(id, receivedAt);
  }

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    read(id);
    return this.#table[this.#find(wanted, 0)] !== 0;
  }

  /** Whether absence from here says nothing about a row that may have been received at `earliest`. */
  mayHaveForgotten(earliest: number): boolean {
    return earliest < this.#since;
  }

  /** @returns false, and does nothing, when it is there already */
  add(id: string, receivedAt: number): boolean {
    read(id);
    let slot = this.#find(wanted, 0);
    if (this.#table[slot] !== 0) return false;
    if (this.#size === this.#capacity) {
      this.#forget(this.#next);
      // What was forgotten may have made room nearer by.
      slot = this.#find(wanted, 0);
    }
    this.#table[slot] = this.#next + 1;
    this.#ids.set(wanted, 4 * this.#next);
    this.#receivedAt[this.#next] = receivedAt;
    this.#next = (this.#next + 1) % this.#capacity;
    this.#size++;
    return true;
  }

  /** Where the table has the id at `at` of `words`, or the free slot where it would be. */
  #find(words: Uint32Array, at: number): number {
    const ids = this.#ids;
    for (let slot = words[at]! & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const found = this.#table[slot]!;
      if (found === 0) return slot;
      const there = 4 * (found - 1);
      if (
        ids[there] === words[at] &&
        ids[there + 1] === words[at + 1] &&
        ids[there + 2] === words[at + 2] &&
        ids[there + 3] === words[at + 3]
      )
        return slot;
    }
  }

  #forget(place: number): void {
    this.#since = Math.max(this.#since, this.#receivedAt[place]! + 1);
    this.#size--;
    let free = this.#find(this.#ids, 4 * place);
    this.#table[free] = 0;
    // Those behind it that the gap would cut off move up (Knuth, volume 3, section 6.4, algorithm R).
    for (let slot = (free + 1) & this.#mask; this.#table[slot] !== 0; slot = (slot + 1) & this.#mask) {
      const home = this.#ids[4 * (this.#table[slot]! - 1)]! & this.#mask;
      if (((slot - home) & this.#mask) < ((slot - free) & this.#mask)) continue;
      this.#table[free] = this.#table[slot]!;
      this.#table[slot] = 0;
      free = slot;
    }
  }
}

/** The id looked for, read from its text; one at a time. */
const wanted = new Uint32Array(4);

function read(id: string): void {
  for (let word = 0; word < 4; word++) {
    let value = 0;
    for (let i = 8 * word; i < 8 * word + 8; i++) {
      const code = id.charCodeAt(i);
      value = (value << 4) | (code < 58 ? code - 48 : code - 87);
    }
    wanted[word] = value;
  }
}
