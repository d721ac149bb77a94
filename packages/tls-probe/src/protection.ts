import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import type { Aead, Cbc } from './cipher-suites.ts';
import { alerts, ProbeFailure, recordOverflow, unexpected } from './failure.ts';
import { contentTypes, maxPlaintext } from './record-format.ts';

/** What one direction's keys make of records. Each call uses up one sequence number. */
export interface Opened {
  readonly type: number;
  readonly content: Buffer;
}
export interface Opener {
  /**
   * @param header the five bytes as received
   * @throws ProbeFailure `protocol-error`, owing bad_record_mac
   */
  open(header: Buffer, fragment: Buffer): Opened;
}
export interface Sealer {
  /** A whole record, header included. */
  seal(type: number, content: Buffer): Buffer;
}

const tagSize = 16;

const badMac = (cause?: unknown) =>
  new ProbeFailure('protocol-error', 'a record does not decrypt', { owedAlert: alerts.badRecordMac, cause });

const overflow = () => recordOverflow('a record holds more than 2^14 bytes');

/** 64-bit sequence number as the last eight bytes of `into`; the limit on records keeps it far below 2^32. */
const putSequence = (into: Buffer, sequence: number): void => {
  into.writeUInt32BE(sequence, into.length - 4);
};

const options = { authTagLength: tagSize };
// The same call twice: node's types know the names of GCM apart from ChaCha20's.
const decipher = (cipher: Aead, key: Buffer, nonce: Buffer) =>
  cipher.mode === 'gcm'
    ? createDecipheriv(cipher.name, key, nonce, options)
    : createDecipheriv(cipher.name, key, nonce, options);
const encipher = (cipher: Aead, key: Buffer, nonce: Buffer) =>
  cipher.mode === 'gcm'
    ? createCipheriv(cipher.name, key, nonce, options)
    : createCipheriv(cipher.name, key, nonce, options);

function aeadOpen(cipher: Aead, key: Buffer, nonce: Buffer, additional: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < tagSize) throw badMac();
  try {
    const aead = decipher(cipher, key, nonce);
    aead.setAAD(additional);
    aead.setAuthTag(sealed.subarray(sealed.length - tagSize));
    const content = aead.update(sealed.subarray(0, sealed.length - tagSize));
    aead.final();
    return content;
  } catch (cause) {
    throw badMac(cause);
  }
}

const xorSequence = (iv: Buffer, sequence: number): Buffer => {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  return nonce;
};

/** TLSInnerPlaintext { content; ContentType type; zeros } in an application_data record (RFC 8446 section 5.2). */
export class Tls13Protection implements Opener, Sealer {
  readonly #cipher: Aead;
  readonly #key: Buffer;
  readonly #iv: Buffer;
  #sequence = 0;

  constructor(cipher: Aead, keys: { key: Buffer; iv: Buffer }) {
    this.#cipher = cipher;
    this.#key = keys.key;
    this.#iv = keys.iv;
  }

  open(header: Buffer, fragment: Buffer): Opened {
    if (header[0] !== contentTypes.applicationData) {
      throw unexpected('an unencrypted record where an encrypted one is due');
    }
    const nonce = xorSequence(this.#iv, this.#sequence++);
    const inner = aeadOpen(this.#cipher, this.#key, nonce, header, fragment);
    // Content plus type may fill 2^14 + 1 bytes, padding included (RFC 8446 section 5.4).
    if (inner.length > maxPlaintext + 1) throw overflow();
    let last = inner.length - 1;
    while (last >= 0 && inner[last] === 0) last--;
    if (last < 0) throw unexpected('an encrypted record without a content type');
    return { type: inner[last]!, content: inner.subarray(0, last) };
  }

  seal(type: number, content: Buffer): Buffer {
    const size = content.length + 1 + tagSize;
    const header = Buffer.from([contentTypes.applicationData, 3, 3, size >> 8, size & 0xff]);
    const aead = encipher(this.#cipher, this.#key, xorSequence(this.#iv, this.#sequence++));
    aead.setAAD(header);
    const sealed = aead.update(Buffer.concat([content, Buffer.from([type])]));
    aead.final();
    return Buffer.concat([header, sealed, aead.getAuthTag()]);
  }
}

/** seq_num + type + version + length (RFC 5246 section 6.2.3.3) */
const tls12Additional = (sequence: number, type: number, length: number): Buffer => {
  const additional = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, type, 3, 3, length >> 8, length & 0xff]);
  additional.writeUInt32BE(sequence, 4);
  return additional;
};

const tls12Record = (type: number, parts: readonly Buffer[]): Buffer => {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([type, 3, 3, size >> 8, size & 0xff]), ...parts]);
};

export interface Tls12Keys {
  readonly macKey: Buffer;
  readonly key: Buffer;
  readonly iv: Buffer;
}

/** GCM with an explicit half of the nonce (RFC 5288 section 3), ChaCha20 without (RFC 7905 section 2). */
class Tls12Aead implements Opener, Sealer {
  readonly #cipher: Aead;
  readonly #keys: Tls12Keys;
  readonly #explicit: number;
  #sequence = 0;

  constructor(cipher: Aead, keys: Tls12Keys) {
    this.#cipher = cipher;
    this.#keys = keys;
    this.#explicit = cipher.mode === 'gcm' ? 8 : 0;
  }

  #nonce(explicit: Buffer): Buffer {
    return this.#explicit
      ? Buffer.concat([this.#keys.iv, explicit])
      : xorSequence(this.#keys.iv, this.#sequence);
  }

  open(header: Buffer, fragment: Buffer): Opened {
    const length = fragment.length - this.#explicit - tagSize;
    if (length < 0) throw badMac();
    if (length > maxPlaintext) throw overflow();
    const nonce = this.#nonce(fragment.subarray(0, this.#explicit));
    const additional = tls12Additional(this.#sequence, header[0]!, length);
    const sealed = fragment.subarray(this.#explicit);
    const content = aeadOpen(this.#cipher, this.#keys.key, nonce, additional, sealed);
    this.#sequence++;
    return { type: header[0]!, content };
  }

  seal(type: number, content: Buffer): Buffer {
    const explicit = Buffer.alloc(this.#explicit);
    if (this.#explicit) putSequence(explicit, this.#sequence);
    const aead = encipher(this.#cipher, this.#keys.key, this.#nonce(explicit));
    aead.setAAD(tls12Additional(this.#sequence, type, content.length));
    const sealed = aead.update(content);
    aead.final();
    this.#sequence++;
    return tls12Record(type, [explicit, sealed, aead.getAuthTag()]);
  }
}

const blockSize = 16;

/** MAC, pad, encrypt, with an explicit IV (RFC 5246 section 6.2.3.2). */
class Tls12Cbc implements Opener, Sealer {
  readonly #cipher: Cbc;
  readonly #keys: Tls12Keys;
  readonly #random: (size: number) => Buffer;
  #sequence = 0;

  constructor(cipher: Cbc, keys: Tls12Keys, random: (size: number) => Buffer) {
    this.#cipher = cipher;
    this.#keys = keys;
    this.#random = random;
  }

  #mac(type: number, content: Buffer): Buffer {
    const mac = createHmac(this.#cipher.mac, this.#keys.macKey);
    mac.update(tls12Additional(this.#sequence++, type, content.length));
    return mac.update(content).digest();
  }

  open(header: Buffer, fragment: Buffer): Opened {
    const { macSize, name } = this.#cipher;
    if (fragment.length % blockSize !== 0 || fragment.length < blockSize + macSize + 1) throw badMac();
    const aes = createDecipheriv(name, this.#keys.key, fragment.subarray(0, blockSize));
    aes.setAutoPadding(false);
    const plain = aes.update(fragment.subarray(blockSize));
    aes.final();
    const padding = plain[plain.length - 1]!;
    const size = plain.length - padding - 1 - macSize;
    // Which check failed shows in the timing; no secret is at stake in a handshake that carries no data.
    if (size < 0) throw badMac();
    for (let at = plain.length - 1 - padding; at < plain.length; at++) {
      if (plain[at] !== padding) throw badMac();
    }
    if (size > maxPlaintext) throw overflow();
    const content = plain.subarray(0, size);
    if (!timingSafeEqual(this.#mac(header[0]!, content), plain.subarray(size, size + macSize)))
      throw badMac();
    return { type: header[0]!, content };
  }

  seal(type: number, content: Buffer): Buffer {
    const iv = this.#random(blockSize);
    const mac = this.#mac(type, content);
    const padding = blockSize - 1 - ((content.length + mac.length) % blockSize);
    const aes = createCipheriv(this.#cipher.name, this.#keys.key, iv);
    aes.setAutoPadding(false);
    const sealed = aes.update(Buffer.concat([content, mac, Buffer.alloc(padding + 1, padding)]));
    aes.final();
    return tls12Record(type, [iv, sealed]);
  }
}

/** @param random for the IVs of CBC; bytes */
export const tls12Protection = (
  cipher: Aead | Cbc,
  keys: Tls12Keys,
  random: (size: number) => Buffer,
): Opener & Sealer =>
  cipher.mode === 'cbc' ? new Tls12Cbc(cipher, keys, random) : new Tls12Aead(cipher, keys);

/** Bytes of the parts of the TLS 1.2 key block (RFC 5246 section 6.3; RFC 5288; RFC 7905). */
export const tls12KeySizes = (cipher: Aead | Cbc) => ({
  mac: cipher.mode === 'cbc' ? cipher.macSize : 0,
  key: cipher.keySize,
  iv: cipher.mode === 'gcm' ? 4 : cipher.mode === 'chacha' ? 12 : 0,
});
