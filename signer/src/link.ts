import { type Certificate, type DistributionPoint, PkiError, crlDistributionPoints } from '@mecai/pki';
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
}

export function linkOf(certificate: Certificate, issuer: Certificate, chain: readonly Uint8Array[]): Link {
  const position = chain.findIndex((der) => Buffer.compare(der, certificate.der) === 0);
  return {
    certificate,
    issuer,
    certificateHash: sha256Hex(certificate.der),
    issuerHash: sha256Hex(issuer.der),
    position: position < 0 ? undefined : position,
    points: pointsOf(certificate),
  };
}

/** None where the extension is broken. */
function pointsOf(certificate: Certificate): readonly DistributionPoint[] {
  try {
    return crlDistributionPoints(certificate) ?? [];
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
}
