/**
 * DER out (X.690 chapters 8, 10, 11). Each function returns the whole TLV; values are built inside out.
 * Callers pass what is in range: the only checks here are those a typo could violate.
 */
import { PkiError } from './error.ts';
import { tags } from './der-tags.ts';
import { room } from './room.ts';

const text = new TextEncoder();

export function tlv(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of contents) length += part.length;
  const lengthOctets =
    length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : length < 0x100_0000 ? 3 : 4;
  const out = room(2 + lengthOctets + length);
  out[0] = tag;
  out[1] = lengthOctets === 0 ? length : 0x80 | lengthOctets;
  for (let i = lengthOctets, rest = length; i > 0; i--, rest >>>= 8) out[1 + i] = rest & 0xff;
  let at = 2 + lengthOctets;
  for (const part of contents) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => tlv(tags.sequence, ...parts);

/** SET OF: the encodings in ascending order (X.690 11.6). */
export const setOf = (...parts: readonly Uint8Array[]): Uint8Array =>
  tlv(tags.set, ...parts.toSorted((a, b) => Buffer.compare(a, b)));

export const octetString = (bytes: Uint8Array): Uint8Array => tlv(tags.octetString, bytes);
export const bitString = (bytes: Uint8Array): Uint8Array => tlv(tags.bitString, Uint8Array.of(0), bytes);
export const utf8String = (value: string): Uint8Array => tlv(tags.utf8String, utf8(value));
export const boolean = (value: boolean): Uint8Array => Uint8Array.of(tags.boolean, 1, value ? 0xff : 0);
export const nullValue = (): Uint8Array => Uint8Array.of(tags.null, 0);

export function printableString(value: string): Uint8Array {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value))
    throw new PkiError('malformed', `not a PrintableString: ${value}`);
  return tlv(tags.printableString, utf8(value));
}

/** A string's UTF-8; for a short one in ASCII, `TextEncoder` takes ten times as long. */
export function utf8(value: string): Uint8Array {
  const out = room(value.length);
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 0x80) return text.encode(value);
    out[i] = unit;
  }
  return out;
}

/** A non-negative INTEGER of any size. */
export function integer(value: number | bigint, tag: number = tags.integer): Uint8Array {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new PkiError('malformed', `not an integer: ${value}`);
  }
  if (value < 0) throw new PkiError('malformed', `negative: ${value}`);
  if (value <= Number.MAX_SAFE_INTEGER) return smallInteger(Number(value), tag);
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex');
  return bytes[0]! < 0x80 ? tlv(tag, bytes) : tlv(tag, Uint8Array.of(0), bytes);
}

function smallInteger(value: number, tag: number): Uint8Array {
  let octets = 1;
  // The topmost bit is the sign's.
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x100)) octets++;
  const out = room(2 + octets);
  out[0] = tag;
  out[1] = octets;
  for (let i = octets, rest = value; i > 0; i--, rest = Math.floor(rest / 0x100)) out[1 + i] = rest % 0x100;
  return out;
}

/** A non-negative INTEGER from big-endian bytes, such as a serial number. */
export function unsignedInteger(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const value = bytes.subarray(start);
  return value.length === 0 || value[0]! >= 0x80
    ? tlv(tags.integer, Uint8Array.of(0), value)
    : tlv(tags.integer, value);
}

export const enumerated = (value: number): Uint8Array => integer(value, tags.enumerated);

/** OBJECT IDENTIFIER from dotted text; arcs of any size (the UUID arc 2.25 needs 128 bits). */
export function oid(dotted: string): Uint8Array {
  if (!/^[012](\.(0|[1-9]\d*))+$/.test(dotted)) throw new PkiError('malformed', `not an OID: ${dotted}`);
  const [first, second, ...rest] = dotted.split('.').map(BigInt);
  const bytes: number[] = [];
  for (let arc of [first! * 40n + second!, ...rest]) {
    const group = [Number(arc & 0x7fn)];
    while ((arc >>= 7n) > 0n) group.unshift(Number(arc & 0x7fn) | 0x80);
    bytes.push(...group);
  }
  return tlv(tags.oid, Uint8Array.from(bytes));
}

const zero = 0x30;

/** `YYYYMMDDHHMMSSZ`, or without the century, as the value of a time. */
function timeOctets(tag: number, date: Date, yearDigits: 2 | 4): Uint8Array {
  const out = room(2 + yearDigits + 11);
  out[0] = tag;
  out[1] = out.length - 2;
  let at = 2;
  const put = (value: number, digits: number) => {
    for (let i = digits - 1, rest = value; i >= 0; i--, rest = Math.trunc(rest / 10)) {
      out[at + i] = zero + (rest % 10);
    }
    at += digits;
  };
  put(date.getUTCFullYear(), yearDigits);
  put(date.getUTCMonth() + 1, 2);
  put(date.getUTCDate(), 2);
  put(date.getUTCHours(), 2);
  put(date.getUTCMinutes(), 2);
  put(date.getUTCSeconds(), 2);
  out[at] = 'Z'.charCodeAt(0);
  return out;
}

/** Whole seconds, UTC; a fraction is cut off (RFC 5280 section 4.1.2.5.2). */
export function generalizedTime(date: Date): Uint8Array {
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) throw new PkiError('malformed', 'year out of range');
  return timeOctets(tags.generalizedTime, date, 4);
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5, RFC 5652 section 11.3). */
export function time(date: Date): Uint8Array {
  const year = date.getUTCFullYear();
  if (year < 1950 || year > 2049) return generalizedTime(date);
  return timeOctets(tags.utcTime, date, 2);
}
