interface Known<T> {
  readonly octets: Buffer;
  readonly value: T;
}

/** What was decoded from octets met before. To ask for it makes no text and no view, only a comparison. */
export class Interned<T> {
  readonly #known = new Map<number, Known<T>>();
  readonly #decode: (octets: Buffer) => T;
  readonly #capacity: number;
  #last: Known<T> | undefined;

  constructor(decode: (octets: Buffer) => T, capacity: number) {
    this.#decode = decode;
    this.#capacity = capacity;
  }

  /** Of what is between two places; whoever makes up octets of equal hash gets them decoded each time. */
  get(octets: Buffer, from: number, to: number): T {
    // Often the same comes again at once.
    if (this.#last && equal(this.#last.octets, octets, from, to)) return this.#last.value;
    const hash = hashOf(octets, from, to);
    const known = this.#known.get(hash);
    if (known && equal(known.octets, octets, from, to)) {
      this.#last = known;
      return known.value;
    }
    // A copy, since what was sent is a view into a whole message.
    const copy = Buffer.from(octets.subarray(from, to));
    const value = this.#decode(copy);
    if (this.#known.size >= this.#capacity) this.#known.clear();
    this.#known.set(hash, { octets: copy, value });
    return value;
  }
}

/** FNV-1a, of 31 bits, which are a small integer to the engine. */
function hashOf(octets: Buffer, from: number, to: number): number {
  let hash = 0x811c_9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ octets[i]!, 0x0100_0193);
  return hash >>> 1;
}

function equal(known: Buffer, octets: Buffer, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== octets[from + i]) return false;
  return true;
}
