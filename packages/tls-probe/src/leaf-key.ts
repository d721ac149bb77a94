import { createPublicKey, type KeyObject } from 'node:crypto';
import { element, publicKeyElement, sequence } from './der.ts';
import { badCertificate } from './failure.ts';

/** The public key of an end-entity certificate. */
export interface LeafKey {
  readonly key: KeyObject;
  readonly type: string;
  /** OpenSSL's name of the curve, for `type` ec. */
  readonly curve?: string;
}

/**
 * SubjectPublicKeyInfo of a certificate, a view.
 * @throws ProbeFailure `bad-certificate`
 */
export function subjectPublicKeyInfo(der: Buffer): Buffer {
  const certificate = element(der, 0, der.length, sequence);
  if (certificate.end !== der.length) throw badCertificate('bytes follow the certificate');
  const info = publicKeyElement(der, element(der, certificate.content, certificate.end, sequence));
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
