/** What importers of root programs' lists give back. */
import type { Certificate } from './certificate.ts';
import type { TrustContext } from './trust-context.ts';
import { sha256 } from './vertex.ts';

export interface SkippedRoot {
  /** SHA-256 of the certificate, hexadecimal. */
  readonly sha256: string;
  readonly reason: string;
}

export interface ImportedContext {
  readonly context: TrustContext;
  /** Roots of the list that are not in the context, and why. */
  readonly skipped: readonly SkippedRoot[];
}

/** Certificates by SHA-256 (hexadecimal), for lists that name their roots by hash only. */
export type CertificateIndex = ReadonlyMap<string, Certificate>;

export const indexCertificates = (certificates: Iterable<Certificate>): CertificateIndex =>
  new Map(Array.from(certificates, (certificate) => [sha256(certificate.der), certificate]));
