/** Trust contexts: the anchors of a root program, with what it asks of the chains below each. */
import type { Certificate } from './certificate.ts';
import { PkiError } from './error.ts';

/** All members that are there must hold. */
export interface ConstraintSet {
  /** notBefore of the leaf is not after this (CKA_NSS_SERVER_DISTRUST_AFTER, validity_starts_not_after_sec). */
  readonly notBeforeUntil?: Date;
  /** notBefore of the leaf is after this (validity_starts_after_sec). */
  readonly notBeforeAfter?: Date;
  /** At least one SCT is not after this (sct_not_after_sec). */
  readonly sctUntil?: Date;
  /** There is an SCT, and all are after this (sct_all_after_sec). */
  readonly sctAllAfter?: Date;
  /** All DNS names of the leaf lie in these subtrees (permitted_dns_names). */
  readonly permittedDnsNames?: readonly string[];
}

export interface TrustAnchor {
  readonly certificate: Certificate;
  /** At least one of these sets must hold; none is no constraint. An empty list is never satisfied. */
  readonly constraints?: readonly ConstraintSet[];
}

export interface TrustContext {
  /** Trust context identifier (TCI): 1 to 32 of A–Z, 0–9 and hyphen. */
  readonly id: string;
  readonly anchors: readonly TrustAnchor[];
  /**
   * The anchors are listed by a root program: roots older than today's root profile are judged by their
   * essentials (validity, CA bit, key strength, constraints) only. Otherwise by the whole profile.
   */
  readonly listed?: boolean;
}

export function assertTci(id: string): void {
  if (!/^[A-Z0-9-]{1,32}$/.test(id)) {
    throw new PkiError('configuration', `trust context identifier ${JSON.stringify(id.slice(0, 64))}`);
  }
}
