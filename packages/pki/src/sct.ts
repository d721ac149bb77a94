/**
 * Signed certificate timestamps (RFC 6962 sections 3.2 and 3.3), from the certificate, the TLS extension and
 * the OCSP response:
 *
 *   struct { opaque SerializedSCT<1..2^16-1>[] <1..2^16-1> } SignedCertificateTimestampList
 *   struct { Version v1(0); opaque id[32]; uint64 timestamp; opaque extensions<0..2^16-1>;
 *     digitally-signed struct { hash, signature algorithm, opaque signature<0..2^16-1> } } SCT
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { type Certificate, findExtension } from './certificate.ts';
import { DerReader } from './der-reader.ts';
import { constructed, tags } from './der-tags.ts';
import * as der from './der-writer.ts';
import { PkiError } from './error.ts';
import { extensionOids } from './extensions.ts';

export type SctSource = 'certificate' | 'tls' | 'ocsp';

export interface Sct {
  readonly source: SctSource;
  /** SHA-256 of the log's key. */
  readonly logId: Uint8Array;
  readonly timestamp: Date;
  readonly extensions: Uint8Array;
  readonly hash: number;
  readonly signatureAlgorithm: number;
  readonly signature: Uint8Array;
}

export interface LogKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** More SCTs than any chain has. */
const listLength = 64;

/** A SignedCertificateTimestampList. SCTs of other versions than v1 are passed over. */
export function readSctList(bytes: Uint8Array, source: SctSource): Sct[] {
  const list = new Uint8Array(bytes);
  const view = new DataView(list.buffer);
  if (list.length < 2 || view.getUint16(0) !== list.length - 2) throw malformed('list length');
  const scts: Sct[] = [];
  let at = 2;
  while (at < list.length) {
    if (at + 2 > list.length) throw malformed('truncated');
    const end = at + 2 + view.getUint16(at);
    if (end > list.length || end === at + 2) throw malformed('length of an SCT');
    if (scts.length === listLength) throw new PkiError('limit', `more than ${listLength} SCTs`);
    // Version v1 (RFC 6962 section 3.2).
    if (list[at + 2] === 0) scts.push(readSct(list, view, at + 3, end, source));
    at = end;
  }
  return scts;
}

function readSct(list: Uint8Array, view: DataView, start: number, end: number, source: SctSource): Sct {
  const fixed = start + 32 + 8;
  if (fixed + 2 > end) throw malformed('truncated');
  const extensionsEnd = fixed + 2 + view.getUint16(fixed);
  if (extensionsEnd + 4 > end) throw malformed('truncated');
  if (extensionsEnd + 4 + view.getUint16(extensionsEnd + 2) !== end) throw malformed('signature length');
  const timestamp = Number(view.getBigUint64(start + 32));
  // What a Date can hold.
  if (timestamp > 8.64e15) throw malformed('timestamp');
  return {
    source,
    logId: list.subarray(start, start + 32),
    timestamp: new Date(timestamp),
    extensions: list.subarray(fixed + 2, extensionsEnd),
    hash: list[extensionsEnd]!,
    signatureAlgorithm: list[extensionsEnd + 1]!,
    signature: list.subarray(extensionsEnd + 4, end),
  };
}

/** The SCTs inside the certificate. */
export function embeddedScts(certificate: Certificate): Sct[] {
  const extension = findExtension(certificate, extensionOids.signedCertificateTimestamps);
  if (!extension) return [];
  const reader = new DerReader(extension.value);
  const list = reader.octetString();
  reader.end();
  return readSctList(list, 'certificate');
}

/** SCT lists from the TLS extension and from stapled OCSP responses (RFC 6962 section 3.3). */
export interface HandshakeScts {
  readonly tls?: readonly Uint8Array[];
  readonly ocsp?: readonly Uint8Array[];
}

/** The SCTs inside the certificate and those sent with it, none of them verified. A broken list has none. */
export function sctsOf(certificate: Certificate, { tls = [], ocsp = [] }: HandshakeScts = {}): Sct[] {
  const lists = [
    () => embeddedScts(certificate),
    ...tls.map((list) => () => readSctList(list, 'tls')),
    ...ocsp.map((list) => () => readSctList(list, 'ocsp')),
  ];
  return lists.flatMap((read) => {
    try {
      return read();
    } catch (error) {
      if (error instanceof PkiError) return [];
      throw error;
    }
  });
}

/** A CT log's key: SubjectPublicKeyInfo DER. Throws `configuration`. */
export function readLogKey(spki: Uint8Array): LogKey {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    return { id: createHash('sha256').update(spki).digest('hex'), key };
  } catch (cause) {
    throw new PkiError('configuration', 'CT log key', { cause });
  }
}

/**
 * Whether the log with this key signed the SCT for this certificate. An embedded SCT was signed over the
 * precertificate, so the issuer's key is part of what is signed (RFC 6962 section 3.2).
 */
export function verifySct(sct: Sct, log: LogKey, certificate: Certificate, issuer: Certificate): boolean {
  // SHA-256 with ECDSA or RSA (RFC 6962 section 2.1.4).
  if (sct.hash !== 4 || (sct.signatureAlgorithm !== 3 && sct.signatureAlgorithm !== 1)) return false;
  if ((log.key.asymmetricKeyType === 'ec') !== (sct.signatureAlgorithm === 3)) return false;
  if (Buffer.from(sct.logId).toString('hex') !== log.id) return false;
  const embedded = sct.source === 'certificate';
  const entry = embedded ? precertificateTbs(certificate) : certificate.der;
  const head = Buffer.alloc(12);
  head.writeBigUInt64BE(BigInt(sct.timestamp.getTime()), 2);
  head.writeUInt16BE(embedded ? 1 : 0, 10);
  const keyHash = embedded ? createHash('sha256').update(issuer.spki).digest() : Buffer.alloc(0);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(entry.length);
  const extensionLength = Buffer.alloc(2);
  extensionLength.writeUInt16BE(sct.extensions.length);
  const data = Buffer.concat([head, keyHash, length.subarray(1), entry, extensionLength, sct.extensions]);
  try {
    return verify('sha256', data, log.key, sct.signature);
  } catch {
    return false;
  }
}

/** The TBSCertificate without the SCT list, as the log saw it (RFC 6962 section 3.2). */
export function precertificateTbs(certificate: Certificate): Uint8Array {
  const reader = DerReader.whole(certificate.tbs);
  const parts: Uint8Array[] = [];
  while (!reader.atEnd) {
    if (reader.peek() !== constructed(3)) {
      parts.push(reader.raw());
      continue;
    }
    const list = reader.enter(constructed(3)).sequence();
    const kept: Uint8Array[] = [];
    while (!list.atEnd) {
      const extension = list.raw(tags.sequence);
      if (DerReader.whole(extension).oid() !== extensionOids.signedCertificateTimestamps)
        kept.push(extension);
    }
    parts.push(der.tlv(constructed(3), der.sequence(...kept)));
  }
  return der.sequence(...parts);
}

const malformed = (what: string) => new PkiError('malformed', `SCT: ${what}`);
