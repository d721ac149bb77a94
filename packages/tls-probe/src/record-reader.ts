import { alerts, malformed, ProbeFailure, recordOverflow, tooLarge, unexpected } from './failure.ts';
import type { Opener } from './protection.ts';
import {
  contentTypes,
  headerSize,
  maxPlaintext,
  maxTls12Ciphertext,
  maxTls13Ciphertext,
} from './record-format.ts';

const nothing = Buffer.alloc(0);

/** Cuts what the server sends into records and opens them. Holds at most one unfinished record. */
export class RecordReader {
  /** Installed by the handshake; records after that are encrypted. */
  opener: Opener | undefined;
  /** Set once negotiated: from then on each record must carry 0x0303. */
  version: 0x0303 | 0x0304 | undefined;
  #partial: Buffer = nothing;
  #records = 0;
  readonly #limit: number;
  readonly #record: (type: number, content: Buffer, borrowed: boolean) => boolean;

  /**
   * @param limit records in all
   * @param record takes a record's content; `borrowed` content is a view on the chunk received, good only
   *   until `receive` returns. Answers false to have the rest ignored.
   */
  constructor(limit: number, record: (type: number, content: Buffer, borrowed: boolean) => boolean) {
    this.#limit = limit;
    this.#record = record;
  }

  /** @param chunk read before this returns, never kept */
  receive(chunk: Buffer): void {
    const bytes = this.#partial.length > 0 ? Buffer.concat([this.#partial, chunk]) : chunk;
    this.#partial = nothing;
    let at = 0;
    while (bytes.length - at >= headerSize) {
      const size = this.#fragmentSize(bytes, at);
      const end = at + headerSize + size;
      if (end > bytes.length) break;
      if (!this.#open(bytes, at, end)) return;
      at = end;
    }
    if (at < bytes.length) {
      // Also a header of which only the first bytes are here is judged at once: "not TLS" needs one byte.
      if (bytes.length - at < headerSize) this.#checkStart(bytes, at);
      this.#partial = Buffer.from(bytes.subarray(at));
    }
  }

  #checkStart(bytes: Buffer, at: number): void {
    const type = bytes[at]!;
    const known = type >= contentTypes.changeCipherSpec && type <= contentTypes.applicationData;
    const major = at + 1 < bytes.length ? bytes[at + 1] : 3;
    if (known && major === 3) return;
    if (this.#records === 0) throw new ProbeFailure('not-tls', 'the answer to the ClientHello is not TLS');
    throw known
      ? malformed(`a record of version ${major}`)
      : unexpected(`a record of the unknown type ${type}`);
  }

  #fragmentSize(bytes: Buffer, at: number): number {
    this.#checkStart(bytes, at);
    if (this.version !== undefined && bytes[at + 2] !== 3) {
      throw new ProbeFailure('protocol-error', `a record of version 3.${bytes[at + 2]}`, {
        owedAlert: alerts.protocolVersion,
      });
    }
    const size = (bytes[at + 3]! << 8) | bytes[at + 4]!;
    const most =
      this.opener === undefined
        ? maxPlaintext
        : this.version === 0x0304
          ? maxTls13Ciphertext
          : maxTls12Ciphertext;
    if (size > most) {
      if (this.#records === 0)
        throw new ProbeFailure('not-tls', 'the first record is longer than TLS allows');
      throw recordOverflow('a record is longer than TLS allows');
    }
    return size;
  }

  #open(bytes: Buffer, at: number, end: number): boolean {
    if (++this.#records > this.#limit) throw tooLarge(`more than ${this.#limit} records`);
    const fragment = bytes.subarray(at + headerSize, end);
    const type = bytes[at]!;
    // The compatibility ChangeCipherSpec of TLS 1.3 is never encrypted (RFC 8446 section 5).
    if (this.opener === undefined || (this.version === 0x0304 && type === contentTypes.changeCipherSpec)) {
      return this.#record(type, fragment, true);
    }
    const opened = this.opener.open(bytes.subarray(at, at + headerSize), fragment);
    return this.#record(opened.type, opened.content, false);
  }

  /** Bytes of a record that has begun; a key change in the middle of one cannot happen, the reader is strict. */
  get unfinished(): number {
    return this.#partial.length;
  }
}
