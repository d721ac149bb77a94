/**
 * DER in (X.690), strict: one-octet tags, definite minimal lengths, canonical values. Every method
 * throws `PkiError` with code `malformed`; none reads outside the given bytes or copies them.
 */
import { PkiError } from './error.ts';
import { tags } from './der-tags.ts';

// A byte order mark is text like any other: dropped, it would be lost between decoding and encoding.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Reads exactly one value with this tag, which fills all of `bytes`. */
  static whole(bytes: Uint8Array, tag: number = tags.sequence): DerReader {
    const outer = new DerReader(bytes);
    const inner = outer.enter(tag);
    outer.end();
    return inner;
  }

  get atEnd(): boolean {
    return this.#at === this.#end;
  }

  /** The next tag, or undefined at the end. */
  peek(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** Refuses trailing bytes. */
  end(): void {
    if (!this.atEnd) throw malformed(`${this.#end - this.#at} trailing bytes`);
  }

  /** The content of the next value, which must have this tag. */
  enter(tag: number): DerReader {
    const { start, end } = this.#next(tag);
    return new DerReader(this.#bytes, start, end);
  }

  /** As `enter`, or undefined if the next value has another tag. */
  optional(tag: number): DerReader | undefined {
    return this.peek() === tag ? this.enter(tag) : undefined;
  }

  sequence(): DerReader {
    return this.enter(tags.sequence);
  }

  /** The content octets of the next value. */
  content(tag: number): Uint8Array {
    const { start, end } = this.#next(tag);
    return this.#bytes.subarray(start, end);
  }

  /** The next value whole, tag and length included. */
  raw(tag?: number): Uint8Array {
    const from = this.#at;
    this.#next(tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** What is left, uninterpreted, without moving. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  octetString(tag: number = tags.octetString): Uint8Array {
    return this.content(tag);
  }

  boolean(tag: number = tags.boolean): boolean {
    const content = this.content(tag);
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw malformed('BOOLEAN');
    return content[0] === 0xff;
  }

  null(): void {
    if (this.content(tags.null).length !== 0) throw malformed('NULL');
  }

  /** Content octets of an INTEGER, minimal two's complement. */
  integerBytes(tag: number = tags.integer): Uint8Array {
    const content = this.content(tag);
    const [first, second] = content;
    if (first === undefined) throw malformed('empty INTEGER');
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      throw malformed('INTEGER not minimal');
    }
    return content;
  }

  /** A non-negative INTEGER up to 2^47 - 1: six octets. */
  integer(tag: number = tags.integer): number {
    const content = this.integerBytes(tag);
    if (content[0]! >= 0x80 || content.length > 6) throw malformed('INTEGER out of range');
    let value = 0;
    for (const octet of content) value = value * 256 + octet;
    return value;
  }

  enumerated(): number {
    return this.integer(tags.enumerated);
  }

  /** A BIT STRING of whole octets. */
  bitString(tag: number = tags.bitString): Uint8Array {
    const { bytes, unused } = this.bits(tag);
    if (unused !== 0) throw malformed('BIT STRING not of whole octets');
    return bytes;
  }

  /** Any BIT STRING; unused bits must be zero (X.690 11.2.1). */
  bits(tag: number = tags.bitString): { bytes: Uint8Array; unused: number } {
    const content = this.content(tag);
    const unused = content[0];
    const bytes = content.subarray(1);
    if (unused === undefined || unused > 7 || (unused > 0 && bytes.length === 0))
      throw malformed('BIT STRING');
    if (unused > 0 && (bytes.at(-1)! & ((1 << unused) - 1)) !== 0) throw malformed('BIT STRING padding');
    return { bytes, unused };
  }

  /** Dotted text. At most 64 content octets, so that a hostile arc costs nothing. */
  oid(tag: number = tags.oid): string {
    const content = this.content(tag);
    if (content.length === 0 || content.length > 64 || content.at(-1)! >= 0x80) throw malformed('OID');
    const arcs: (number | bigint)[] = [];
    let start = 0;
    for (let at = 0; at < content.length; at++) {
      if (at === start && content[at] === 0x80) throw malformed('OID arc not minimal');
      if (content[at]! >= 0x80) continue;
      arcs.push(arcValue(content, start, at));
      start = at + 1;
    }
    // The first two arcs share one value; only below 2.x is the second bounded (X.690 8.19.4).
    const joint = arcs[0]!;
    const first = joint < 40 ? 0 : joint < 80 ? 1 : 2;
    const second = typeof joint === 'number' ? joint - first * 40 : joint - 80n;
    return [first, second, ...arcs.slice(1)].join('.');
  }

  utf8String(tag: number = tags.utf8String): string {
    try {
      return utf8.decode(this.content(tag));
    } catch (cause) {
      if (cause instanceof PkiError) throw cause;
      throw malformed('UTF8String', cause);
    }
  }

  /** Octets below 128 only. */
  ia5String(tag: number = tags.ia5String): string {
    const content = this.content(tag);
    for (let at = 0; at < content.length; at++) if (content[at]! >= 0x80) throw malformed('IA5String');
    return utf8.decode(content);
  }

  printableString(tag: number = tags.printableString): string {
    const value = this.ia5String(tag);
    if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value)) throw malformed('PrintableString');
    return value;
  }

  /** UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 restricts them: seconds, no fraction, Z. */
  time(): Date {
    if (this.peek() === tags.generalizedTime) return this.generalizedTime();
    const value = this.content(tags.utcTime);
    if (value.length !== 13) throw malformed('UTCTime');
    const year = twoDigits(value, 0);
    return calendar(year < 50 ? 2000 + year : 1900 + year, value, 2);
  }

  generalizedTime(tag: number = tags.generalizedTime): Date {
    const value = this.content(tag);
    if (value.length !== 15) throw malformed('GeneralizedTime');
    return calendar(twoDigits(value, 0) * 100 + twoDigits(value, 2), value, 4);
  }

  #next(tag: number | undefined): { start: number; end: number } {
    const bytes = this.#bytes;
    if (this.#at + 2 > this.#end) throw malformed('truncated');
    const actual = bytes[this.#at]!;
    if ((actual & 0x1f) === 0x1f) throw malformed('multi-octet tag');
    if (tag !== undefined && actual !== tag) {
      throw malformed(`tag 0x${actual.toString(16)} where 0x${tag.toString(16)} belongs`);
    }
    let length = bytes[this.#at + 1]!;
    let start = this.#at + 2;
    if (length >= 0x80) {
      const octets = length & 0x7f;
      if (octets === 0 || octets > 4 || start + octets > this.#end) throw malformed('length');
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + bytes[start + i]!;
      if (length < 0x80 || (octets > 1 && bytes[start] === 0)) throw malformed('length not minimal');
      start += octets;
    }
    const end = start + length;
    if (end > this.#end) throw malformed('truncated');
    this.#at = end;
    return { start, end };
  }
}

/** Seven bits an octet. Arcs of 128 bits are in use (2.25), but nearly all are small. */
function arcValue(content: Uint8Array, start: number, last: number): number | bigint {
  if (last - start < 7) {
    let value = 0;
    for (let at = start; at <= last; at++) value = value * 128 + (content[at]! & 0x7f);
    return value;
  }
  let value = 0n;
  for (let at = start; at <= last; at++) value = (value << 7n) | BigInt(content[at]! & 0x7f);
  return value;
}

/** @param at where the month begins, the year being read */
function calendar(year: number, value: Uint8Array, at: number): Date {
  const month = twoDigits(value, at);
  const day = twoDigits(value, at + 2);
  const hour = twoDigits(value, at + 4);
  const minute = twoDigits(value, at + 6);
  const second = twoDigits(value, at + 8);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // Date rolls 31 April over to 1 May; a time that does not come back as written is none.
  const same =
    value[at + 10] === letterZ &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  if (!same) throw malformed('time');
  return date;
}

const letterZ = 0x5a;

function twoDigits(value: Uint8Array, at: number): number {
  const [tens, ones] = [value[at]! - 0x30, value[at + 1]! - 0x30];
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed('time');
  return tens * 10 + ones;
}

const malformed = (what: string, cause?: unknown) => new PkiError('malformed', `DER: ${what}`, { cause });
