/** What is known of the revocation of a certificate, from what, and what a policy makes of it. */
import type { Certificate } from './certificate.ts';
import type { Crl } from './crl.ts';
import { PkiError } from './error.ts';
import type { OcspVerdict } from './ocsp.ts';

/** `stale`: all that was to be had is past its nextUpdate. `unknown`: nothing was to be had, or nobody knows. */
export type RevocationStatus = 'good' | 'revoked' | 'unknown' | 'stale';

/** Something verified that speaks of the certificate. */
export type Evidence =
  | { readonly kind: 'ocsp'; readonly stapled: boolean; readonly verdict: OcspVerdict }
  | { readonly kind: 'crl'; readonly url: string; readonly crl: Crl; readonly delta: Crl | undefined }
  /** Valid for seven days at most and without a source: need not be revocable (BR 1.6.1, 4.9.10). */
  | { readonly kind: 'short-lived' };

export interface RevocationProblem {
  readonly source: 'crl' | 'delta-crl' | 'ocsp' | 'stapled-ocsp';
  readonly url: string | undefined;
  readonly error: PkiError;
}

export interface CertificateStatus {
  readonly certificate: Certificate;
  readonly status: RevocationStatus;
  readonly revokedAt: Date | undefined;
  /** CRLReason. */
  readonly reason: number | undefined;
  readonly evidence: readonly Evidence[];
  /** What failed on the way, to be logged. */
  readonly problems: readonly RevocationProblem[];
}

/** `require`: unknown and stale are refused. `allow-unknown`: vouched for without a status. */
export type RevocationPolicy = 'require' | 'allow-unknown';

/** The first certificate that the policy refuses, or undefined. Revoked is refused under every policy. */
export function refusedBy(
  statuses: readonly CertificateStatus[],
  policy: RevocationPolicy,
): CertificateStatus | undefined {
  return (
    statuses.find(({ status }) => status === 'revoked') ??
    (policy === 'require' ? statuses.find(({ status }) => status !== 'good') : undefined)
  );
}

/** What is found out about one certificate. */
export class Inquiry {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  readonly signal: AbortSignal;
  readonly #evidence: Evidence[] = [];
  readonly #problems: RevocationProblem[] = [];
  #revoked: { at: Date | undefined; reason: number | undefined } | undefined;

  constructor(certificate: Certificate, issuer: Certificate, signal: AbortSignal) {
    this.certificate = certificate;
    this.issuer = issuer;
    this.signal = signal;
  }

  get revoked(): boolean {
    return this.#revoked !== undefined;
  }

  get settled(): boolean {
    return this.#evidence.length > 0;
  }

  note(evidence: Evidence, revoked?: { at: Date | undefined; reason: number | undefined }): void {
    this.#evidence.push(evidence);
    this.#revoked ??= revoked;
  }

  /** Returns whether the responder knew. */
  heard(verdict: OcspVerdict, stapled: boolean): boolean {
    if (verdict.status === 'unknown')
      throw new PkiError('unverified', 'OCSP: the responder does not know it');
    const { revokedAt: at, reason } = verdict;
    this.note({ kind: 'ocsp', stapled, verdict }, verdict.status === 'revoked' ? { at, reason } : undefined);
    return true;
  }

  /** Returns whether it worked; a failure is a problem, never an exception. */
  async attempt(
    source: RevocationProblem['source'],
    url: string | undefined,
    action: () => Promise<boolean>,
  ): Promise<boolean> {
    try {
      return await action();
    } catch (cause) {
      const error = cause instanceof PkiError ? cause : new PkiError('unreachable', 'failed', { cause });
      this.#problems.push({ source, url, error });
      return false;
    }
  }

  /** URIs in the certificate; none, and a problem, where the extension is broken. */
  sources(source: RevocationProblem['source'], find: (certificate: Certificate) => string[]): string[] {
    try {
      return find(this.certificate);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      this.#problems.push({ source, url: undefined, error });
      return [];
    }
  }

  outcome(): CertificateStatus {
    const { certificate } = this;
    const stale = this.#problems.some(({ error }) => error.code === 'stale');
    const status = this.#revoked ? 'revoked' : this.settled ? 'good' : stale ? 'stale' : 'unknown';
    const { at: revokedAt, reason } = this.#revoked ?? { at: undefined, reason: undefined };
    return { certificate, status, revokedAt, reason, evidence: this.#evidence, problems: this.#problems };
  }
}
