import { endianness } from 'node:os';
import { parseAddress } from '@mecai/addresses';
import { Octets } from './octets.ts';

/** Values of one column, as the engine's format Native has them. */
export interface NativeColumn<T> {
  add(value: T): void;
  write(to: Octets): void;
  /** Begins anew, in the same memory. */
  clear(): void;
}

const bigEndian = endianness() === 'BE';

class Numbers {
  #values: Uint8Array | Uint16Array | Uint32Array;
  #size = 0;

  constructor(values: Uint8Array | Uint16Array | Uint32Array) {
    this.#values = values;
  }

  get size(): number {
    return this.#size;
  }

  add(value: number): void {
    if (this.#size === this.#values.length) this.#grow();
    this.#values[this.#size++] = value;
  }

  write(to: Octets): void {
    const { buffer, BYTES_PER_ELEMENT: width } = this.#values;
    const octets = Buffer.from(buffer, 0, this.#size * width);
    if (bigEndian && width === 2) octets.swap16();
    if (bigEndian && width === 4) octets.swap32();
    to.put(octets);
  }

  #grow(): void {
    const before = this.#values;
    const Kind = before.constructor as new (length: number) => typeof before;
    this.#values = new Kind(2 * before.length);
    this.#values.set(before);
  }

  clear(): void {
    this.#size = 0;
  }
}

const some = 1024;
const numbers8 = () => new Numbers(new Uint8Array(some));
const numbers16 = () => new Numbers(new Uint16Array(some));
const numbers32 = () => new Numbers(new Uint32Array(some));

/** Below 2⁵³. */
class Uint64s {
  readonly #halves = numbers32();

  add(value: number): void {
    this.#halves.add(value);
    this.#halves.add(value / 2 ** 32);
  }

  write(to: Octets): void {
    this.#halves.write(to);
  }

  clear(): void {
    this.#halves.clear();
  }
}

class Texts {
  readonly #octets = new Octets();
  #last = '';
  /** Where the last text begins. */
  #at = -1;

  add(text: string): void {
    // The same again is copied as it is.
    if (text === this.#last && this.#at >= 0) {
      const from = this.#at;
      this.#at = this.#octets.length;
      this.#octets.repeat(from, this.#at);
      return;
    }
    this.#last = text;
    this.#at = this.#octets.length;
    this.#octets.text(text);
  }

  write(to: Octets): void {
    to.put(this.#octets.view());
  }

  clear(): void {
    this.#octets.clear();
    this.#at = -1;
  }
}

const ownKeys = 0x200;
const indexOf4Octets = 2;

class Dictionary {
  readonly #keys = new Map<string, number>();
  readonly #indexes = numbers32();
  #last: string | undefined;
  #index = 0;

  add(text: string): void {
    if (text !== this.#last) {
      this.#last = text;
      const known = this.#keys.get(text);
      this.#index = known ?? this.#keys.size;
      if (known === undefined) this.#keys.set(text, this.#index);
    }
    this.#indexes.add(this.#index);
  }

  write(to: Octets): void {
    for (const value of [1, ownKeys | indexOf4Octets, this.#keys.size]) to.uint64(value);
    for (const key of this.#keys.keys()) to.text(key);
    to.uint64(this.#indexes.size);
    this.#indexes.write(to);
  }

  clear(): void {
    this.#keys.clear();
    this.#indexes.clear();
    this.#last = undefined;
  }
}

class Lists {
  readonly #ends = new Uint64s();
  readonly #texts = new Octets();
  /** Where the elements of a list are, from and to. */
  readonly #known = new Map<readonly string[], readonly [number, number]>();
  #end = 0;

  add(list: readonly string[]): void {
    this.#ends.add((this.#end += list.length));
    const known = this.#known.get(list);
    if (known) return this.#texts.repeat(known[0], known[1]);
    const from = this.#texts.length;
    for (const text of list) this.#texts.text(text);
    this.#known.set(list, [from, this.#texts.length]);
  }

  write(to: Octets): void {
    this.#ends.write(to);
    to.put(this.#texts.view());
  }

  clear(): void {
    this.#ends.clear();
    this.#texts.clear();
    this.#known.clear();
    this.#end = 0;
  }
}

class Nullables {
  readonly #nulls = numbers8();
  readonly #values = numbers8();

  add(value: number | null): void {
    this.#nulls.add(value === null ? 1 : 0);
    this.#values.add(value ?? 0);
  }

  write(to: Octets): void {
    this.#nulls.write(to);
    this.#values.write(to);
  }

  clear(): void {
    this.#nulls.clear();
    this.#values.clear();
  }
}

class Bools {
  readonly #values = numbers8();

  add(value: boolean): void {
    this.#values.add(value ? 1 : 0);
  }

  write(to: Octets): void {
    this.#values.write(to);
  }

  clear(): void {
    this.#values.clear();
  }
}

class Addresses {
  readonly #octets = new Octets();
  readonly #known = new Map<string, Uint8Array>();

  add(text: string): void {
    let octets = this.#known.get(text);
    if (!octets) this.#known.set(text, (octets = parseAddress(text)));
    this.#octets.put(octets);
  }

  write(to: Octets): void {
    to.put(this.#octets.view());
  }

  clear(): void {
    this.#octets.clear();
    this.#known.clear();
  }
}

/** Times are milliseconds since 1970, addresses text; numbers are within their types. */
export const nativeColumns = {
  String: () => new Texts(),
  'LowCardinality(String)': () => new Dictionary(),
  'Array(String)': () => new Lists(),
  Bool: () => new Bools(),
  'Nullable(UInt8)': () => new Nullables(),
  UInt16: numbers16,
  UInt32: numbers32,
  "DateTime64(3, 'UTC')": () => new Uint64s(),
  IPv6: () => new Addresses(),
} as const;
