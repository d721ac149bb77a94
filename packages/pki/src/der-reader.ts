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
  /** Where the value read last begins. */
  #last: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#last = start;
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
    const start = this.#next(tag);
    return new DerReader(this.#bytes, start, this.#at);
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
    const start = this.#next(tag);
    return this.#bytes.subarray(start, this.#at);
  }

  /** The next value whole, tag and length included. */
  raw(tag?: number): Uint8Array {
    this.#next(tag);
    return this.last();
  }

  /** The value read last, whole. */
  last(): Uint8Array {
    return this.#bytes.subarray(this.#last, this.#at);
  }

  /** What is left, uninterpreted, without moving. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  octetString(tag: number = tags.octetString): Uint8Array {
    return this.content(tag);
  }

  boolean(tag: number = tags.boolean): boolean {
    const start = this.#next(tag);
    const octet = this.#bytes[start];
    if (this.#at - start !== 1 || (octet !== 0 && octet !== 0xff)) throw malformed('BOOLEAN');
    return octet === 0xff;
  }

  null(): void {
    if (this.content(tags.null).length !== 0) throw malformed('NULL');
  }

  /** Content octets of an INTEGER, minimal two's complement. */
  integerBytes(tag: number = tags.integer): Uint8Array {
    return this.#bytes.subarray(this.#integer(tag), this.#at);
  }

  /** Steps over an INTEGER and returns where its content starts. */
  #integer(tag: number): number {
    const start = this.#next(tag);
    const length = this.#at - start;
    if (length === 0) throw malformed('empty INTEGER');
    const first = this.#bytes[start]!;
    const negative = this.#bytes[start + 1]! >= 0x80;
    if (length > 1 && ((first === 0 && !negative) || (first === 0xff && negative))) {
      throw malformed('INTEGER not minimal');
    }
    return start;
  }

  /** A non-negative INTEGER up to 2^47 - 1: six octets. */
  integer(tag: number = tags.integer): number {
    const start = this.#integer(tag);
    if (this.#bytes[start]! >= 0x80 || this.#at - start > 6) throw malformed('INTEGER out of range');
    let value = 0;
    for (let at = start; at < this.#at; at++) value = value * 256 + this.#bytes[at]!;
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
    const start = this.#next(tag);
    const [bytes, end] = [this.#bytes, this.#at];
    if (start === end || end - start > 64 || bytes[end - 1]! >= 0x80) throw malformed('OID');
    let text = '';
    let first = start;
    for (let at = start; at < end; at++) {
      if (at === first && bytes[at] === 0x80) throw malformed('OID arc not minimal');
      if (bytes[at]! >= 0x80) continue;
      const arc = arcValue(bytes, first, at);
      text = first === start ? firstTwoArcs(arc) : `${text}.${arc}`;
      first = at + 1;
    }
    return text;
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
    const start = this.#next(tag);
    let text = '';
    for (let at = start; at < this.#at; at++) {
      const octet = this.#bytes[at]!;
      if (octet >= 0x80) throw malformed('IA5String');
      text += String.fromCharCode(octet);
    }
    return text;
  }

  printableString(tag: number = tags.printableString): string {
    const value = this.ia5String(tag);
    if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value)) throw malformed('PrintableString');
    return value;
  }

  /** UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 restricts them: seconds, no fraction, Z. */
  time(): Date {
    if (this.peek() === tags.generalizedTime) return this.generalizedTime();
    const start = this.#next(tags.utcTime);
    if (this.#at - start !== 13) throw malformed('UTCTime');
    const year = twoDigits(this.#bytes, start);
    return calendar(year < 50 ? 2000 + year : 1900 + year, this.#bytes, start + 2);
  }

  generalizedTime(tag: number = tags.generalizedTime): Date {
    const start = this.#next(tag);
    if (this.#at - start !== 15) throw malformed('GeneralizedTime');
    const bytes = this.#bytes;
    return calendar(twoDigits(bytes, start) * 100 + twoDigits(bytes, start + 2), bytes, start + 4);
  }

  /** Steps over the next value and returns where its content starts. */
  #next(tag: number | undefined): number {
    const bytes = this.#bytes;
    this.#last = this.#at;
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
    return start;
  }
}

/** They share one value; only below 2.x is the second bounded (X.690 8.19.4). */
function firstTwoArcs(joint: number | bigint): string {
  const first = joint < 40 ? 0 : joint < 80 ? 1 : 2;
  return `${first}.${typeof joint === 'number' ? joint - first * 40 : joint - 80n}`;
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
  const days = month === 2 && isLeapYear(year) ? 29 : daysOfMonth[month - 1];
  const exists = days !== undefined && day > 0 && day <= days && hour < 24 && minute < 60 && second < 60;
  if (value[at + 10] !== letterZ || !exists) throw malformed('time');
  // Date.UTC takes years below 100 for those of the twentieth century; the calendar repeats after 400 years.
  return new Date(Date.UTC(year + 400, month - 1, day, hour, minute, second) - fourHundredYears);
}

const daysOfMonth: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const isLeapYear = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const fourHundredYears = 146_097 * 86_400_000;

const letterZ = 0x5a;

function twoDigits(value: Uint8Array, at: number): number {
  const tens = value[at]! - 0x30;
  const ones = value[at + 1]! - 0x30;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed('time');
  return tens * 10 + ones;
}

const malformed = (what: string, cause?: unknown) => new PkiError('malformed', `DER: ${what}`, { cause });
