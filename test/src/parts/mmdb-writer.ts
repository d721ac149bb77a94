/**
 * Writes MaxMind DB files, format 2.0, for tests and demonstrations:
 *
 *   file      = search tree, 16 zero octets, data section, metadata marker, metadata
 *   tree      = nodes of two records, left for bit 0 and right for bit 1, `recordSize` bits each
 *   record    < node count: the next node; = node count: nothing known; above: node count + 16 + offset into data
 *   field     = control octet (3 bits of type, 5 bits of size), more octets of type and size, payload
 *
 * The tree has 128 levels; IPv4 lies in ::/96, and ::ffff:0:0/96 and 2002::/16 lead there as well.
 */
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';

export type MmdbValue =
  | string
  | boolean
  | number
  | bigint
  | Uint8Array
  | Typed
  | readonly MmdbValue[]
  | { readonly [key: string]: MmdbValue };

/** A number of a certain type; plain numbers become uint32 when whole and in range, double otherwise. */
class Typed {
  readonly type: 'uint16' | 'int32' | 'uint64' | 'uint128' | 'float' | 'double';
  readonly value: number | bigint;

  constructor(type: Typed['type'], value: number | bigint) {
    this.type = type;
    this.value = value;
  }
}
export const uint16 = (value: number) => new Typed('uint16', value);
export const int32 = (value: number) => new Typed('int32', value);
export const uint64 = (value: bigint) => new Typed('uint64', value);
export const uint128 = (value: bigint) => new Typed('uint128', value);
export const float = (value: number) => new Typed('float', value);
export const double = (value: number) => new Typed('double', value);

export interface MmdbEntry {
  /** `192.0.2.0/24` or `2001:db8::/32`. Of nested ones the longest counts for an address, in whatever order. */
  readonly prefix: string;
  readonly record: { readonly [key: string]: MmdbValue };
}

export interface MmdbOptions {
  /** What the records hold, for example `GeoLite2-City`. */
  readonly databaseType: string;
  readonly recordSize?: 24 | 28 | 32;
  readonly languages?: readonly string[];
  /** By language. */
  readonly description?: Readonly<Record<string, string>>;
  /** When the database was made, seconds since 1970. */
  readonly buildEpoch?: number;
}

/** @throws RangeError for a prefix that is none, or numbers or sizes that the format cannot hold */
export function writeMmdb(file: string, entries: readonly MmdbEntry[], options: MmdbOptions): void {
  writeFileSync(file, encodeMmdb(entries, options));
}

export function encodeMmdb(
  entries: readonly MmdbEntry[],
  { databaseType, recordSize = 28, languages = ['en'], description = {}, buildEpoch = 0 }: MmdbOptions,
): Buffer {
  const data = new DataSection();
  const root: Node = [undefined, undefined];
  const parsed = entries.map(({ prefix, record }) => ({ ...parsePrefix(prefix), record }));
  // Shorter prefixes first: longer ones are cut out of them.
  for (const { bits, length, record } of parsed.toSorted((a, b) => a.length - b.length)) {
    insert(root, bits, length, data.offsetOf(record));
  }
  alias(root, 0xffffn << 32n, 96);
  alias(root, 0x2002n << 112n, 16);

  const nodes = numbered(root);
  const tree = encodeTree(nodes, recordSize);
  const metadata = encodeValue({
    binary_format_major_version: uint16(2),
    binary_format_minor_version: uint16(0),
    build_epoch: uint64(BigInt(buildEpoch)),
    database_type: databaseType,
    description,
    ip_version: uint16(6),
    languages,
    node_count: nodes.size,
    record_size: uint16(recordSize),
  });
  return Buffer.concat([tree, Buffer.alloc(16), data.bytes(), metadataMarker, metadata]);
}

const metadataMarker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');

/** A number is an offset into the data section. */
type Branch = Node | number | undefined;
type Node = [Branch, Branch];

const bitOf = (bits: bigint, depth: number): 0 | 1 => ((bits >> BigInt(127 - depth)) & 1n ? 1 : 0);

function insert(root: Node, bits: bigint, length: number, value: Branch): void {
  let node = root;
  for (let depth = 0; depth < length - 1; depth++) {
    const side = bitOf(bits, depth);
    const next = node[side];
    // What held for the whole network goes on to hold for both halves.
    node = Array.isArray(next) ? next : (node[side] = [next, next]);
  }
  node[bitOf(bits, length - 1)] = value;
}

/** Makes a prefix lead to where IPv4 lies, unless something is known below it. */
function alias(root: Node, bits: bigint, length: number): void {
  let ipv4: Branch = root;
  for (let depth = 0; depth < 96 && Array.isArray(ipv4); depth++) ipv4 = ipv4[0];
  let at: Branch = root;
  for (let depth = 0; depth < length && Array.isArray(at); depth++) at = at[bitOf(bits, depth)];
  if (Array.isArray(ipv4) && at === undefined) insert(root, bits, length, ipv4);
}

function parsePrefix(prefix: string): { bits: bigint; length: number } {
  const [address, lengthText = ''] = prefix.split('/');
  const version = isIP(address!);
  const length = Number(lengthText);
  const max = version === 4 ? 32 : 128;
  if (version === 0 || !/^\d{1,3}$/.test(lengthText) || length > max || address!.includes('%')) {
    throw new RangeError(`${JSON.stringify(prefix)} is no prefix`);
  }
  const bits = version === 4 ? ipv4Bits(address!) : ipv6Bits(address!);
  const total = version === 4 ? length + 96 : length;
  if (total === 0) throw new RangeError('::/0 would leave no tree');
  if (bits & ((1n << BigInt(128 - total)) - 1n)) throw new RangeError(`${prefix} has bits beyond its length`);
  return { bits, length: total };
}

const ipv4Bits = (text: string) => text.split('.').reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);

function ipv6Bits(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) return ipv6Bits(`${dotted[1]}0:0`) | ipv4Bits(dotted[2]!);
  const [head, tail] = text.split('::').map((part) => part.split(':').filter(Boolean));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  const groups = [...head!, ...Array.from({ length: missing }, () => '0'), ...(tail ?? [])];
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

/** Each node once, though aliases lead to the same. */
function numbered(root: Node): ReadonlyMap<Node, number> {
  const numbers = new Map<Node, number>([[root, 0]]);
  for (const [node] of numbers) {
    for (const branch of node) {
      if (Array.isArray(branch) && !numbers.has(branch)) numbers.set(branch, numbers.size);
    }
  }
  return numbers;
}

function encodeTree(nodes: ReadonlyMap<Node, number>, recordSize: 24 | 28 | 32): Buffer {
  const value = (branch: Branch) => {
    const record =
      branch === undefined
        ? nodes.size
        : Array.isArray(branch)
          ? nodes.get(branch)!
          : nodes.size + 16 + branch;
    if (record >= 2 ** recordSize) throw new RangeError(`too much for records of ${recordSize} bits`);
    return record;
  };
  const width = recordSize / 4;
  const tree = Buffer.alloc(nodes.size * width);
  for (const [[left, right], number] of nodes) {
    const [l, r] = [value(left), value(right)];
    const at = number * width;
    if (recordSize === 32) {
      tree.writeUInt32BE(l, at);
      tree.writeUInt32BE(r, at + 4);
      continue;
    }
    tree.writeUIntBE(l % 2 ** 24, at, 3);
    tree.writeUIntBE(r % 2 ** 24, at + width - 3, 3);
    // The octet in the middle has the high four bits of both.
    if (recordSize === 28) tree[at + 3] = ((l >>> 24) << 4) | (r >>> 24);
  }
  return tree;
}

/** Records, equal ones once. */
class DataSection {
  readonly #parts: Buffer[] = [];
  readonly #offsets = new Map<string, number>();
  #size = 0;

  offsetOf(record: MmdbValue): number {
    const encoded = encodeValue(record);
    const key = encoded.toString('latin1');
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const offset = this.#size;
    this.#offsets.set(key, offset);
    this.#parts.push(encoded);
    this.#size += encoded.length;
    return offset;
  }

  bytes = (): Buffer => Buffer.concat(this.#parts);
}

/** Numbers of the types in the control octet. */
const types = {
  string: 2,
  double: 3,
  bytes: 4,
  uint16: 5,
  uint32: 6,
  map: 7,
  int32: 8,
  uint64: 9,
  uint128: 10,
  array: 11,
  boolean: 14,
  float: 15,
} as const;

function encodeValue(value: MmdbValue): Buffer {
  if (typeof value === 'string') return field('string', Buffer.from(value));
  if (typeof value === 'boolean') return control('boolean', value ? 1 : 0);
  if (typeof value === 'bigint') return encodeValue(uint128(value));
  if (typeof value === 'number') {
    const whole = Number.isInteger(value) && value >= 0 && value < 2 ** 32 && !Object.is(value, -0);
    return whole ? unsigned('uint32', BigInt(value), 4) : encodeValue(double(value));
  }
  if (value instanceof Uint8Array) return field('bytes', Buffer.from(value));
  if (value instanceof Typed) return encodeTyped(value);
  if (isList(value)) return Buffer.concat([control('array', value.length), ...value.map(encodeValue)]);
  const members = Object.entries(value);
  return Buffer.concat([
    control('map', members.length),
    ...members.flatMap(([key, member]) => [encodeValue(key), encodeValue(member)]),
  ]);
}

const isList = (value: MmdbValue): value is readonly MmdbValue[] => Array.isArray(value);

function encodeTyped({ type, value }: Typed): Buffer {
  if (type === 'double' || type === 'float') {
    const payload = Buffer.alloc(type === 'double' ? 8 : 4);
    if (type === 'double') payload.writeDoubleBE(Number(value));
    else payload.writeFloatBE(Number(value));
    return field(type, payload);
  }
  if (type === 'int32') {
    const payload = Buffer.alloc(4);
    payload.writeInt32BE(Number(value));
    return field(type, payload);
  }
  return unsigned(type, BigInt(value), { uint16: 2, uint64: 8, uint128: 16 }[type]);
}

/** Without leading zero octets; zero has no octets at all. */
function unsigned(type: 'uint16' | 'uint32' | 'uint64' | 'uint128', value: bigint, octets: number): Buffer {
  if (value < 0n || value >= 1n << BigInt(8 * octets)) throw new RangeError(`${value} is no ${type}`);
  const digits = value === 0n ? '' : value.toString(16);
  return field(type, Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex'));
}

const field = (type: keyof typeof types, payload: Buffer) =>
  Buffer.concat([control(type, payload.length), payload]);

/** Sizes from 29 on take one, two or three octets more, each range starting where the one before ends. */
function control(type: keyof typeof types, size: number): Buffer {
  const number = types[type];
  const [short, more] =
    size < 29
      ? [size, []]
      : size < 285
        ? [29, [size - 29]]
        : size < 65_821
          ? [30, [(size - 285) >>> 8, (size - 285) & 0xff]]
          : [31, [(size - 65_821) >>> 16, ((size - 65_821) >>> 8) & 0xff, (size - 65_821) & 0xff]];
  if (size >= 65_821 + 2 ** 24) throw new RangeError(`${type} of size ${size}`);
  // Types from 8 on have 0 in the control octet and their number, less 7, in the next.
  return Buffer.from(number <= 7 ? [(number << 5) | short, ...more] : [short, number - 7, ...more]);
}
