/**
 * One block of ClickHouse's format Native: columns one after the other, as the engine holds them, which it takes in
 * a third of the time of JSON.
 *
 *     block  = columns:varint rows:varint *column
 *     column = name:text type:text values
 *     text   = length:varint octets
 *
 * Numbers are little-endian. Array: the end of each row's elements (UInt64), then all elements. Nullable: an octet a
 * row, 1 for null, then the values. LowCardinality: version 1 (UInt64), flags (UInt64: width of an index, "its own
 * keys"), number of keys (UInt64), keys, number of rows (UInt64), an index a row.
 */
import { endianness } from 'node:os';
import { parseAddress } from '@mecai/addresses';

export type ColumnType =
  | 'String'
  | 'LowCardinality(String)'
  | 'Array(String)'
  | 'Bool'
  | 'Nullable(UInt8)'
  | 'UInt16'
  | 'UInt32'
  | "DateTime64(3, 'UTC')"
  | 'IPv6';

export type Columns<Row> = { readonly [Name in keyof Row & string]: ColumnType };

/** Times are milliseconds since 1970, addresses text; numbers are within their types. */
export function nativeBlock<Row extends object>(columns: Columns<Row>, rows: readonly Row[]): Buffer {
  const entries = Object.entries(columns) as [keyof Row & string, ColumnType][];
  const block = new Block();
  block.varint(entries.length);
  block.varint(rows.length);
  for (const [name, type] of entries) {
    block.text(name);
    block.text(type);
    write[type](
      block,
      rows.map((row) => row[name]),
    );
  }
  return block.octets();
}

const write: { readonly [Type in ColumnType]: (block: Block, values: readonly unknown[]) => void } = {
  String: (block, values) => block.texts(values as readonly string[]),
  'LowCardinality(String)': (block, values) => writeDictionary(block, values as readonly string[]),
  'Array(String)': (block, values) => {
    const lists = values as readonly (readonly string[])[];
    let end = 0;
    block.uint64s(lists.map((list) => (end += list.length)));
    for (const list of lists) block.texts(list);
  },
  Bool: (block, values) => block.put(new Uint8Array(values.map((value) => (value ? 1 : 0)))),
  'Nullable(UInt8)': (block, values) => {
    const numbers = values as readonly (number | null)[];
    block.put(new Uint8Array(numbers.map((value) => (value === null ? 1 : 0))));
    block.put(new Uint8Array(numbers.map((value) => value ?? 0)));
  },
  UInt16: (block, values) => block.numbers(new Uint16Array(values as readonly number[])),
  UInt32: (block, values) => block.numbers(new Uint32Array(values as readonly number[])),
  "DateTime64(3, 'UTC')": (block, values) => block.uint64s(values as readonly number[]),
  IPv6: (block, values) => {
    const known = new Map<string, Uint8Array>();
    for (const text of values as readonly string[]) {
      let octets = known.get(text);
      if (!octets) known.set(text, (octets = parseAddress(text)));
      block.put(octets);
    }
  },
};

const ownKeys = 0x200;
const indexOf4Octets = 2;

function writeDictionary(block: Block, values: readonly string[]): void {
  const keys = new Map<string, number>();
  const indexes = new Uint32Array(values.length);
  let last: string | undefined;
  let index = 0;
  for (let i = 0; i < values.length; i++) {
    const text = values[i]!;
    if (text !== last) {
      last = text;
      const known = keys.get(text);
      index = known ?? keys.size;
      if (known === undefined) keys.set(text, index);
    }
    indexes[i] = index;
  }
  block.uint64s([1, ownKeys | indexOf4Octets, keys.size]);
  block.texts([...keys.keys()]);
  block.uint64s([values.length]);
  block.numbers(indexes);
}

const bigEndian = endianness() === 'BE';

class Block {
  #octets = Buffer.allocUnsafe(1 << 22);
  #at = 0;

  octets(): Buffer {
    return this.#octets.subarray(0, this.#at);
  }

  put(octets: Uint8Array): void {
    this.#room(octets.length);
    this.#octets.set(octets, this.#at);
    this.#at += octets.length;
  }

  numbers(values: Uint16Array | Uint32Array): void {
    const octets = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    if (bigEndian) {
      if (values.BYTES_PER_ELEMENT === 2) octets.swap16();
      else octets.swap32();
    }
    this.put(octets);
  }

  uint64s(values: readonly number[]): void {
    const halves = new Uint32Array(2 * values.length);
    for (let i = 0; i < values.length; i++) {
      halves[2 * i] = values[i]!;
      halves[2 * i + 1] = values[i]! / 2 ** 32;
    }
    this.numbers(halves);
  }

  varint(value: number): void {
    this.#room(10);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#octets[this.#at++] = (rest % 128) | 0x80;
    this.#octets[this.#at++] = rest;
  }

  texts(texts: readonly string[]): void {
    for (const text of texts) this.text(text);
  }

  /** UTF-8; half a surrogate pair becomes U+FFFD. */
  text(text: string): void {
    this.#room(3 * text.length + 10);
    if (text.length < 0x80) {
      const written = text === '' ? 0 : this.#octets.write(text, this.#at + 1);
      this.#octets[this.#at] = written;
      if (written < 0x80) {
        this.#at += 1 + written;
        return;
      }
    }
    this.varint(Buffer.byteLength(text));
    this.#at += this.#octets.write(text, this.#at);
  }

  #room(length: number): void {
    if (this.#at + length <= this.#octets.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#octets.length, this.#at + length));
    this.#octets.copy(larger, 0, 0, this.#at);
    this.#octets = larger;
  }
}
