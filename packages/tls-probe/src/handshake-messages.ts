import { malformed, tooLarge, unexpected } from './failure.ts';

// struct {
//   HandshakeType msg_type;    uint8
//   uint24 length;
//   opaque body[length];
// } Handshake;                 RFC 8446 section 4

export const handshakeTypes = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  encryptedExtensions: 8,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
  certificateStatus: 22,
  keyUpdate: 24,
  compressedCertificate: 25,
} as const;

export const messageHeaderSize = 4;

/** A whole message. @param body concatenated */
export function message(type: number, ...body: readonly Buffer[]): Buffer {
  const size = body.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([type, size >> 16, (size >> 8) & 0xff, size & 0xff]), ...body]);
}

/** Joins handshake messages that were cut up, and cuts those that came together. */
export class MessageReader {
  #partial: Buffer | undefined;
  #filled = 0;
  readonly #limit: number;
  readonly #message: (type: number, whole: Buffer) => boolean;

  /**
   * @param limit bytes one message may have
   * @param message takes a whole message, header included, good only until it returns; answers false to
   *   have the rest ignored
   */
  constructor(limit: number, message: (type: number, whole: Buffer) => boolean) {
    this.#limit = limit;
    this.#message = message;
  }

  /** @param content of one handshake record, never kept */
  receive(content: Buffer): void {
    // RFC 8446 section 5.1: "Implementations MUST NOT send zero-length fragments of Handshake types".
    if (content.length === 0) throw unexpected('an empty handshake record');
    const bytes = this.#joined(content);
    let at = 0;
    while (bytes.length - at >= messageHeaderSize) {
      const end = at + messageHeaderSize + this.#bodySize(bytes, at);
      if (end > bytes.length) break;
      // The reader is empty while the last message of a record is handled: see `atBoundary`.
      this.#left = bytes.length - end;
      if (!this.#message(bytes[at]!, bytes.subarray(at, end))) return;
      at = end;
    }
    this.#left = 0;
    if (at < bytes.length) this.#keep(bytes, at);
  }

  #left = 0;

  /** No byte of a further message has been received: keys may change only here (RFC 8446 section 5.1). */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#partial === undefined;
  }

  #bodySize(bytes: Buffer, at: number): number {
    const size = bytes.readUIntBE(at + 1, 3);
    if (size > this.#limit) throw tooLarge(`a handshake message of ${size} bytes`);
    return size;
  }

  /** Adds to an unfinished message, in a buffer that doubles, so that tiny fragments cost no more than big ones. */
  #joined(content: Buffer): Buffer {
    if (!this.#partial) return content;
    const size = this.#filled + content.length;
    if (size > this.#partial.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(size, this.#partial.length * 2));
      this.#partial.copy(larger, 0, 0, this.#filled);
      this.#partial = larger;
    }
    content.copy(this.#partial, this.#filled);
    this.#filled = size;
    const joined = this.#partial.subarray(0, size);
    const complete = size >= messageHeaderSize && size >= messageHeaderSize + this.#bodySize(joined, 0);
    // Whole: `receive` hands it out, and what follows it starts a buffer of its own.
    if (complete) this.#partial = undefined;
    return joined;
  }

  #keep(bytes: Buffer, at: number): void {
    if (this.#partial) return;
    this.#partial = Buffer.from(bytes.subarray(at));
    this.#filled = this.#partial.length;
  }
}

/** Names a message in a complaint. */
export const messageName = (type: number): string =>
  Object.entries(handshakeTypes).find(([, value]) => value === type)?.[0] ?? `type ${type}`;

/** For a message whose body must be empty. */
export function expectEmpty(whole: Buffer): void {
  if (whole.length !== messageHeaderSize) throw malformed(`${messageName(whole[0]!)} must be empty`);
}
