/**
 * The revokedCertificates of a CRL (RFC 5280 section 5.1.2.6), indexed over the raw octets: 300,000 entries
 * as objects would take a hundred megabytes, as offsets in one typed array they take four.
 *
 *   SEQUENCE OF SEQUENCE { userCertificate INTEGER, revocationDate Time, crlEntryExtensions SEQUENCE OPTIONAL }
 */
import { DerReader } from './der-reader.ts';
import { tags } from './der-tags.ts';
import { PkiError } from './error.ts';

export interface CrlEntry {
  /** Undefined where the CRL has a date that no calendar has. */
  readonly revocationDate: Date | undefined;
  /** CRLReason (RFC 5280 section 5.3.1); undefined where not given. */
  readonly reason: number | undefined;
}

/** Content octets of the serial number that an entry may have; conforming ones have 20. */
const serialOctets = 40;

/** Finds entries by serial number. */
export class CrlEntries {
  readonly size: number;
  readonly #octets: Uint8Array;
  /** Open addressing: offset of an entry plus one, or zero. Its length is a power of two. */
  readonly #slots: Uint32Array;

  private constructor(octets: Uint8Array, size: number) {
    this.#octets = octets;
    this.size = size;
    let slots = 16;
    while (slots < size * 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
  }

  /**
   * Reads the content octets of the SEQUENCE OF, in steps of a few milliseconds.
   *
   * Throws `malformed`, or `unsupported` for an indirect CRL.
   */
  static *read(octets: Uint8Array): Generator<undefined, CrlEntries> {
    const scanner = new Scanner(octets);
    const offsets = new Uint32Array(Math.ceil(octets.length / smallestEntry));
    let size = 0;
    while (!scanner.atEnd) {
      offsets[size++] = scanner.entry();
      if (size % entriesPerStep === 0) yield;
    }
    const entries = new CrlEntries(octets, size);
    let probes = size * probesPerEntry + 1_024;
    for (let i = 0; i < size; i++) {
      probes -= entries.#insert(offsets[i]!);
      if (probes < 0) throw new PkiError('limit', 'CRL: serial numbers made to collide');
      if (i % entriesPerStep === 0) yield;
    }
    return entries;
  }

  /** By the content octets of serialNumber. The first entry counts, should there be two. */
  find(serial: Uint8Array): CrlEntry | undefined {
    const octets = this.#octets;
    const mask = this.#slots.length - 1;
    for (let slot = hash(serial, 0, serial.length) & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot]!;
      if (found === 0) return undefined;
      const { start, length } = serialAt(octets, found - 1);
      if (length === serial.length && same(octets, start, serial)) return readEntry(octets, found - 1);
    }
  }

  /** Returns the slots looked at. */
  #insert(offset: number): number {
    const mask = this.#slots.length - 1;
    const { start, length } = serialAt(this.#octets, offset);
    let slot = hash(this.#octets, start, length) & mask;
    let probes = 1;
    for (; this.#slots[slot] !== 0; probes++) slot = (slot + 1) & mask;
    this.#slots[slot] = offset + 1;
    return probes;
  }
}

/** SEQUENCE { INTEGER of one octet, UTCTime }. */
const smallestEntry = 2 + 3 + 15;

/** Some milliseconds' worth. */
const entriesPerStep = 16_384;

/** Slots that an entry may take to place, on average; two are usual. A CRL is read before it is verified. */
const probesPerEntry = 64;

/** FNV-1a, 32 bits. */
function hash(octets: Uint8Array, start: number, length: number): number {
  let value = 0x811c9dc5;
  for (let i = start; i < start + length; i++) value = Math.imul(value ^ octets[i]!, 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}

function same(octets: Uint8Array, start: number, serial: Uint8Array): boolean {
  for (let i = 0; i < serial.length; i++) if (octets[start + i] !== serial[i]) return false;
  return true;
}

/** Of an entry that was scanned: its header has one to four octets of length. */
function serialAt(octets: Uint8Array, offset: number): { start: number; length: number } {
  const first = octets[offset + 1]!;
  const integer = offset + 2 + (first < 0x80 ? 0 : first & 0x7f);
  return { start: integer + 2, length: octets[integer + 1]! };
}

function readEntry(octets: Uint8Array, offset: number): CrlEntry {
  const reader = new DerReader(octets, offset).sequence();
  reader.integerBytes();
  const revocationDate = readDate(reader);
  let reason: number | undefined;
  if (!reader.atEnd) {
    const list = reader.sequence();
    while (!list.atEnd) {
      const one = list.sequence();
      const oid = one.oid();
      if (one.peek() === tags.boolean) one.boolean();
      const value = new DerReader(one.octetString());
      if (oid === '2.5.29.21') reason = value.enumerated();
    }
  }
  return { revocationDate, reason };
}

function readDate(reader: DerReader): Date | undefined {
  try {
    return reader.time();
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return undefined;
  }
}

/** Walks entries without an object for each, as strictly as `DerReader` would. */
class Scanner {
  readonly #octets: Uint8Array;
  #at = 0;
  /** End of the value that `#enter` last found. */
  #end = 0;

  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  get atEnd(): boolean {
    return this.#at === this.#octets.length;
  }

  /** Steps over one entry and returns where it begins. */
  entry(): number {
    const octets = this.#octets;
    const offset = this.#at;
    const end = this.#enter(tags.sequence, octets.length);
    this.#enter(tags.integer, end);
    const length = this.#end - this.#at;
    if (length === 0 || length > serialOctets) throw malformed('serial number');
    if (length > 1 && octets[this.#at] === 0 && octets[this.#at + 1]! < 0x80)
      throw malformed('serial number');
    this.#at = this.#end;
    this.#time(end);
    if (this.#at < end) this.#extensions(end);
    this.#at = end;
    return offset;
  }

  #time(limit: number): void {
    const octets = this.#octets;
    const tag = octets[this.#at];
    const digits = tag === tags.utcTime ? 12 : 14;
    this.#enter(digits === 12 ? tags.utcTime : tags.generalizedTime, limit);
    if (this.#end - this.#at !== digits + 1 || octets[this.#end - 1] !== 0x5a)
      throw malformed('revocationDate');
    for (let i = this.#at; i < this.#end - 1; i++) {
      if (octets[i]! < 0x30 || octets[i]! > 0x39) throw malformed('revocationDate');
    }
    // Month and day, whose first digits stand at 2 and 4 from the end of the year.
    const month = this.#at + digits - 10;
    const pair = (at: number) => (octets[at]! - 0x30) * 10 + octets[at + 1]! - 0x30;
    const [mm, dd] = [pair(month), pair(month + 2)];
    if (mm < 1 || mm > 12 || dd < 1 || dd > 31 || pair(month + 4) > 23) throw malformed('revocationDate');
    this.#at = this.#end;
  }

  #extensions(limit: number): void {
    const octets = this.#octets;
    const listEnd = this.#enter(tags.sequence, limit);
    if (listEnd !== limit || this.#at === listEnd) throw malformed('crlEntryExtensions');
    while (this.#at < listEnd) {
      const end = this.#enter(tags.sequence, listEnd);
      this.#enter(tags.oid, end);
      // All that are known lie under id-ce, 2.5.29: 55 1D and one octet.
      const known = this.#end - this.#at === 3 && octets[this.#at] === 0x55 && octets[this.#at + 1] === 0x1d;
      const arc = known ? octets[this.#at + 2]! : 0;
      this.#at = this.#end;
      let critical = false;
      if (octets[this.#at] === tags.boolean) {
        this.#enter(tags.boolean, end);
        if (this.#end - this.#at !== 1 || octets[this.#at] !== 0xff) throw malformed('critical');
        critical = true;
        this.#at = this.#end;
      }
      this.#enter(tags.octetString, end);
      if (this.#end !== end) throw malformed('crlEntryExtensions');
      if (arc === 0x1d) throw new PkiError('unsupported', 'CRL: an indirect CRL (certificateIssuer)');
      if (arc === 0x15) this.#reason();
      else if (critical) throw new PkiError('unsupported', 'CRL: unknown critical entry extension');
      this.#at = end;
    }
  }

  /** `CRLReason ::= ENUMERATED`, 0 to 10 without 7. */
  #reason(): void {
    const octets = this.#octets;
    const value = octets[this.#at + 2];
    const form =
      this.#end - this.#at === 3 && octets[this.#at] === tags.enumerated && octets[this.#at + 1] === 1;
    if (!form || value! > 10 || value === 7) throw malformed('reasonCode');
  }

  /** Steps into a value with this tag and returns its end, which may not lie beyond `limit`. */
  #enter(tag: number, limit: number): number {
    const octets = this.#octets;
    if (this.#at + 2 > limit || octets[this.#at] !== tag) throw malformed('entry');
    let length = octets[this.#at + 1]!;
    let start = this.#at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3 || start + count > limit) throw malformed('length');
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + octets[start + i]!;
      if (length < 0x80 || (count > 1 && octets[start] === 0)) throw malformed('length not minimal');
      start += count;
    }
    if (start + length > limit) throw malformed('truncated');
    this.#at = start;
    this.#end = start + length;
    return this.#end;
  }
}

const malformed = (what: string) => new PkiError('malformed', `CRL: ${what}`);
