import { endianness } from 'node:os';
import { parseAddress } from '@mecai/addresses';
import { Octets } from './octets.ts';

/** Values of one column, as the engine's format Native has them. */
export interface NativeColumn<T> {
  add(value: T): void;
  write(to: Octets): void;
  /** Writes the values at these places, counted from the first added. */
  writeAt(places: Uint32Array, to: Octets): void;
  /** Begins anew, in the same memory. */
  clear(): void;
}

const bigEndian = endianness() === 'BE';

type NumberArray = Uint8Array | Uint16Array | Uint32Array;

class Numbers {
  #values: NumberArray;
  #size = 0;

  constructor(values: NumberArray) {
    this.#values = values;
  }

  get size(): number {
    return this.#size;
  }

  at(place: number): number {
    return this.#values[place]!;
  }

  add(value: number): void {
    if (this.#size === this.#values.length) this.#grow();
    this.#values[this.#size++] = value;
  }

  write(to: Octets): void {
    put(to, this.#values.subarray(0, this.#size));
  }

  writeAt(places: Uint32Array, to: Octets): void {
    const from = this.#values;
    const values = like(from, places.length);
    for (let i = 0; i < places.length; i++) values[i] = from[places[i]!]!;
    put(to, values);
  }

  #grow(): void {
    const before = this.#values;
    this.#values = like(before, 2 * before.length);
    this.#values.set(before);
  }

  clear(): void {
    this.#size = 0;
  }
}

const like = <T extends NumberArray>(values: T, length: number): T =>
  new (values.constructor as new (length: number) => T)(length);

function put(to: Octets, { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: width }: NumberArray): void {
  const octets = Buffer.from(buffer, byteOffset, byteLength);
  if (bigEndian && width === 2) octets.swap16();
  if (bigEndian && width === 4) octets.swap32();
  to.put(octets);
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

  writeAt(places: Uint32Array, to: Octets): void {
    const both = new Uint32Array(2 * places.length);
    for (let i = 0; i < places.length; i++) {
      both[2 * i] = 2 * places[i]!;
      both[2 * i + 1] = 2 * places[i]! + 1;
    }
    this.#halves.writeAt(both, to);
  }

  clear(): void {
    this.#halves.clear();
  }
}

class Texts {
  readonly #octets = new Octets();
  /** Where each text ends. */
  readonly #ends = numbers32();
  #last = '';

  add(text: string): void {
    const { size } = this.#ends;
    // The same again is copied as it is.
    if (size > 0 && text === this.#last) {
      this.#octets.repeat(this.#beginning(size - 1), this.#octets.length);
    } else {
      this.#last = text;
      this.#octets.text(text);
    }
    this.#ends.add(this.#octets.length);
  }

  write(to: Octets): void {
    to.put(this.#octets.view());
  }

  writeAt(places: Uint32Array, to: Octets): void {
    for (const place of places) to.part(this.#octets, this.#beginning(place), this.#ends.at(place));
  }

  clear(): void {
    this.#octets.clear();
    this.#ends.clear();
  }

  #beginning(place: number): number {
    return place === 0 ? 0 : this.#ends.at(place - 1);
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
    this.#writeKeys(to, this.#indexes.size);
    this.#indexes.write(to);
  }

  writeAt(places: Uint32Array, to: Octets): void {
    this.#writeKeys(to, places.length);
    this.#indexes.writeAt(places, to);
  }

  #writeKeys(to: Octets, rows: number): void {
    for (const value of [1, ownKeys | indexOf4Octets, this.#keys.size]) to.uint64(value);
    for (const key of this.#keys.keys()) to.text(key);
    to.uint64(rows);
  }

  clear(): void {
    this.#keys.clear();
    this.#indexes.clear();
    this.#last = undefined;
  }
}

class Lists {
  /** Number of elements and end of the octets of each list. */
  readonly #lengths = numbers32();
  readonly #ends = numbers32();
  readonly #texts = new Octets();

  add(list: readonly string[]): void {
    for (const text of list) this.#texts.text(text);
    this.#lengths.add(list.length);
    this.#ends.add(this.#texts.length);
  }

  write(to: Octets): void {
    this.writeAt(
      Uint32Array.from({ length: this.#lengths.size }, (_, place) => place),
      to,
    );
  }

  writeAt(places: Uint32Array, to: Octets): void {
    const ends = new Uint64s();
    let end = 0;
    for (const place of places) ends.add((end += this.#lengths.at(place)));
    ends.write(to);
    for (const place of places)
      to.part(this.#texts, place === 0 ? 0 : this.#ends.at(place - 1), this.#ends.at(place));
  }

  clear(): void {
    this.#lengths.clear();
    this.#ends.clear();
    this.#texts.clear();
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

  writeAt(places: Uint32Array, to: Octets): void {
    this.#nulls.writeAt(places, to);
    this.#values.writeAt(places, to);
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

  writeAt(places: Uint32Array, to: Octets): void {
    this.#values.writeAt(places, to);
  }

  clear(): void {
    this.#values.clear();
  }
}

class Addresses {
  readonly #octets = new Octets();

  add(text: string): void {
    this.#octets.put(parseAddress(text));
  }

  write(to: Octets): void {
    to.put(this.#octets.view());
  }

  writeAt(places: Uint32Array, to: Octets): void {
    for (const place of places) to.part(this.#octets, 16 * place, 16 * place + 16);
  }

  clear(): void {
    this.#octets.clear();
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
