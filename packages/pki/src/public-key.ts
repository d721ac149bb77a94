/** The key in a certificate, ready for use. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Certificate } from './certificate.ts';

const keys = new WeakMap<Certificate, KeyObject | null>();

/** Null where OpenSSL does not take it. Read once for each certificate object: that costs a third of a signature. */
export function publicKey(certificate: Certificate): KeyObject | null {
  let key = keys.get(certificate);
  if (key === undefined) keys.set(certificate, (key = read(certificate.spki)));
  return key;
}

function read(spki: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}
