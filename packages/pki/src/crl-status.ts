/** Revocation status from CRLs at hand, without a network. */
import type { Certificate } from './certificate.ts';
import { assertCurrent, covers, deltaFits, parseCrl, revocation, verifyCrl, type Crl } from './crl.ts';
import { PkiError } from './error.ts';
import type { RevocationStatus } from './revocation-status.ts';

export interface CrlVerdict {
  readonly status: RevocationStatus;
  /** The complete CRL that answered, and the delta that was added to it. */
  readonly crl: Crl | undefined;
  readonly delta: Crl | undefined;
  /** Why CRLs did not count. */
  readonly problems: readonly PkiError[];
}

/** Of the CRLs (DER) that cover the certificate and verify, the newest complete one counts, with its newest delta. */
export function crlStatus(
  certificate: Certificate,
  issuer: Certificate,
  crls: readonly Uint8Array[],
  now: Date,
): CrlVerdict {
  const problems: PkiError[] = [];
  const usable: Crl[] = [];
  for (const bytes of crls) {
    try {
      const crl = parseCrl(bytes);
      if (!covers(crl, certificate)) continue;
      verifyCrl(crl, issuer);
      assertCurrent(crl, now);
      usable.push(crl);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      problems.push(error);
    }
  }
  const newest = usable.toSorted((a, b) => (a.number < b.number ? 1 : -1));
  const crl = newest.find((one) => one.baseNumber === undefined);
  const delta = crl && newest.find((one) => deltaFits(crl, one));
  if (!crl) {
    const status = problems.some(({ code }) => code === 'stale') ? 'stale' : 'unknown';
    return { status, crl, delta, problems };
  }
  return { status: revocation(certificate, crl, delta) ? 'revoked' : 'good', crl, delta, problems };
}
