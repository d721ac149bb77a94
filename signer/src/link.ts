import {
  type Certificate,
  type DistributionPoint,
  PkiError,
  crlDistributionPoints,
  ocspUris,
} from '@mecai/pki';
import { sha256Hex } from './digest.ts';

/** A certificate of a validated path and the one above it: what revocation is asked about. */
export interface Link {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  /** SHA-256 of the DER, hex. */
  readonly certificateHash: string;
  readonly issuerHash: string;
  /** In the chain as sent: 0 is the leaf; undefined for a certificate that the server does not send. */
  readonly position: number | undefined;
  readonly points: readonly DistributionPoint[];
  /** Neither CRL nor OCSP responder is named, and it lives for seven days at most: need not be revocable. */
  readonly shortLived: boolean;
}

/** BR 1.6.1, Short-lived Subscriber Certificate, from 2026-03-15. Milliseconds. */
const shortLife = 7 * 86_400_000;

export function linkOf(certificate: Certificate, issuer: Certificate, chain: readonly Uint8Array[]): Link {
  const points = unlessBroken(() => crlDistributionPoints(certificate) ?? []);
  const responders = unlessBroken(() => ocspUris(certificate));
  const position = chain.findIndex((der) => Buffer.compare(der, certificate.der) === 0);
  return {
    certificate,
    issuer,
    certificateHash: sha256Hex(certificate.der),
    issuerHash: sha256Hex(issuer.der),
    position: position < 0 ? undefined : position,
    points: points ?? [],
    shortLived:
      points?.length === 0 &&
      responders?.length === 0 &&
      certificate.notAfter.getTime() - certificate.notBefore.getTime() <= shortLife,
  };
}

/** Undefined where the extension is broken: it then names no source, but is not absent either. */
function unlessBroken<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}
