import { createPublicKey, type KeyObject } from 'node:crypto';
import { badCertificate } from './failure.ts';

/** The public key of an end-entity certificate. */
export interface LeafKey {
  readonly key: KeyObject;
  readonly type: string;
  /** OpenSSL's name of the curve, for `type` ec. */
  readonly curve?: string;
}

// Certificate  ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
// TBSCertificate ::= SEQUENCE { version [0] EXPLICIT OPTIONAL, serialNumber INTEGER, signature SEQUENCE,
//   issuer SEQUENCE, validity SEQUENCE, subject SEQUENCE, subjectPublicKeyInfo SEQUENCE, … }
// RFC 5280 section 4.1. Only the way to the key is walked here; judging the rest is the validator's work.

const sequence = 0x30;
const integer = 0x02;
const explicitVersion = 0xa0;

interface Element {
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

function element(der: Uint8Array, at: number, limit: number, tag: number): Element {
  if (at + 2 > limit || der[at] !== tag) throw badCertificate('the certificate is not the DER it should be');
  let length = der[at + 1]!;
  let content = at + 2;
  if (length >= 0x80) {
    const size = length & 0x7f;
    if (size === 0 || size > 3 || content + size > limit) {
      throw badCertificate('a length in the certificate is not DER');
    }
    length = 0;
    for (let i = 0; i < size; i++) length = (length << 8) | der[content++]!;
  }
  if (content + length > limit) throw badCertificate('an element of the certificate is cut short');
  return { start: at, content, end: content + length };
}

/**
 * SubjectPublicKeyInfo of a certificate, a view.
 * @throws ProbeFailure `bad-certificate`
 */
export function subjectPublicKeyInfo(der: Buffer): Buffer {
  const certificate = element(der, 0, der.length, sequence);
  if (certificate.end !== der.length) throw badCertificate('bytes follow the certificate');
  const tbs = element(der, certificate.content, certificate.end, sequence);
  let at = tbs.content;
  if (der[at] === explicitVersion) at = element(der, at, tbs.end, explicitVersion).end;
  at = element(der, at, tbs.end, integer).end;
  for (let skipped = 0; skipped < 4; skipped++) at = element(der, at, tbs.end, sequence).end;
  const info = element(der, at, tbs.end, sequence);
  return der.subarray(info.start, info.end);
}

function readKey(der: Buffer): LeafKey {
  const info = subjectPublicKeyInfo(der);
  try {
    const key = createPublicKey({ key: info, format: 'der', type: 'spki' });
    const type = key.asymmetricKeyType ?? 'unknown';
    // Asked of no other type: for RSA it turns the exponent into a BigInt, for seconds if that is 100 KB long.
    const curve = type === 'ec' ? key.asymmetricKeyDetails?.namedCurve : undefined;
    return { key, type, ...(curve !== undefined && { curve }) };
  } catch (cause) {
    throw badCertificate("the certificate's public key cannot be used", cause);
  }
}

/** The end of a certificate is its signature: as good as random, unless a server plays tricks. */
const fingerprintSize = 24;
const largestKept = 8_192;

/**
 * The keys of the certificates seen last. Reading a key costs a tenth of a handshake, and one target is
 * probed by several tasks in a row. Bounded in entries and in bytes for each.
 */
export class LeafKeys {
  readonly #kept = new Map<string, { readonly der: Buffer; readonly key: LeafKey }>();
  readonly #capacity: number;

  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  /**
   * @param der the certificate; not kept, so it may be a view on a buffer that is used again
   * @throws ProbeFailure `bad-certificate`
   */
  of(der: Buffer): LeafKey {
    if (der.length > largestKept) return readKey(der);
    const fingerprint = der.toString('latin1', Math.max(0, der.length - fingerprintSize));
    const hit = this.#kept.get(fingerprint);
    // The whole certificate decides: a fingerprint can be chosen by the server.
    if (hit && hit.der.equals(der)) return hit.key;
    const key = readKey(der);
    this.#kept.delete(fingerprint);
    if (this.#kept.size >= this.#capacity) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(fingerprint, { der: Buffer.from(der), key });
    return key;
  }
}
