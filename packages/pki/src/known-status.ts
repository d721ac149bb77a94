/** What the CRLs and OCSP responses at hand say of a certificate. Nothing is fetched. */
import type { Certificate } from './certificate.ts';
import {
  clockSkew,
  covers,
  type Crl,
  crlScopeKey,
  deltaFits,
  parseCrl,
  revocation,
  verifyCrl,
} from './crl.ts';
import { PkiError } from './error.ts';
import * as read from './extensions.ts';
import { isAbout, type OcspVerdict, verifyResponse } from './ocsp.ts';
import { type BasicResponse, parseOcspResponse } from './ocsp-response.ts';
import type { CertificateStatus, Evidence, RevocationProblem } from './revocation-status.ts';

/** A CertificateList (RFC 5280 chapter 5) or an OCSPResponse (RFC 6960 section 4.2.1), DER. */
export interface RevocationDocument {
  readonly kind: 'crl' | 'ocsp';
  readonly der: Uint8Array;
}

/** As far as it could be read; nothing is verified. */
export type ReadDocument =
  | { readonly kind: 'crl'; readonly crl: Crl }
  | { readonly kind: 'ocsp'; readonly response: BasicResponse }
  | { readonly kind: RevocationDocument['kind']; readonly error: PkiError };

/** Never throws for what is in it. */
export function readDocument({ kind, der }: RevocationDocument): ReadDocument {
  try {
    return kind === 'crl' ? { kind, crl: parseCrl(der) } : { kind, response: parseOcspResponse(der) };
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return { kind, error };
  }
}

/** Verified, about one certificate; whether they are current is another question. */
export interface KnownDocuments {
  readonly responses: readonly OcspVerdict[];
  readonly crls: readonly Crl[];
  readonly problems: readonly RevocationProblem[];
}

/** Verifies those that are about the certificate, and passes over the others. Never throws for what is in them. */
export function verifyDocuments(
  certificate: Certificate,
  issuer: Certificate,
  documents: readonly ReadDocument[],
  now: Date,
): KnownDocuments {
  const responses: OcspVerdict[] = [];
  const crls: Crl[] = [];
  const problems: RevocationProblem[] = [];
  for (const document of documents) {
    try {
      if ('error' in document) throw document.error;
      if (document.kind === 'ocsp') {
        const verdict = readResponse(document.response, certificate, issuer, now);
        if (verdict) responses.push(verdict);
        continue;
      }
      const { crl } = document;
      if (!covers(crl, certificate)) continue;
      verifyCrl(crl, issuer);
      if (crl.thisUpdate.getTime() > now.getTime() + clockSkew)
        throw new PkiError('stale', 'CRL: from the future');
      crls.push(crl);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      problems.push({ source: document.kind, url: undefined, error });
    }
  }
  return { responses: newestOf(responses), crls: newestInScope(crls), problems };
}

/** As of when it was made: one that has expired may still say that the certificate is revoked. */
function readResponse(
  response: BasicResponse,
  certificate: Certificate,
  issuer: Certificate,
  now: Date,
): OcspVerdict | undefined {
  const { producedAt, responses } = response;
  if (!responses.some((one) => isAbout(one, certificate, issuer))) return undefined;
  const verdict = verifyResponse(response, certificate, issuer, producedAt < now ? producedAt : now);
  if (verdict.status === 'unknown') throw new PkiError('unverified', 'OCSP: the responder does not know it');
  return verdict;
}

// What is as new as another stands beside it: if one of them says revoked, that counts.

const newestOf = (responses: readonly OcspVerdict[]): OcspVerdict[] =>
  responses.filter((one) => responses.every(({ thisUpdate }) => thisUpdate <= one.thisUpdate));

function newestInScope(crls: readonly Crl[]): Crl[] {
  const keyed = crls.map((crl) => ({ crl, scope: crlScopeKey(crl) }));
  const older = ({ crl, scope }: (typeof keyed)[number]) =>
    keyed.some((other) => other.scope === scope && other.crl.number > crl.number);
  return keyed.filter((one) => !older(one)).map(({ crl }) => crl);
}

/** What they say now. Whoever was revoked by what has expired since is still revoked. */
export function statusFrom(
  certificate: Certificate,
  { responses, crls, problems }: KnownDocuments,
  now: Date,
): CertificateStatus {
  const evidence: Evidence[] = [];
  let revoked: { at: Date | undefined; reason: number | undefined } | undefined;
  let stale = problems.some(({ error }) => error.code === 'stale');
  for (const verdict of responses) {
    if (verdict.status === 'revoked') revoked ??= { at: verdict.revokedAt, reason: verdict.reason };
    if (verdict.nextUpdate >= now) evidence.push({ kind: 'ocsp', stapled: false, verdict });
    else stale = true;
  }
  for (const crl of crls) {
    if (crl.baseNumber !== undefined) continue;
    const delta = crls.find((one) => deltaFits(crl, one));
    const entry = revocation(certificate, crl, delta);
    if (entry) revoked ??= { at: entry.revocationDate, reason: entry.reason };
    if (crl.nextUpdate >= now) evidence.push({ kind: 'crl', url: crl.scope?.uris[0] ?? '', crl, delta });
    else stale = true;
  }
  if (evidence.length === 0 && needsNoRevocation(certificate)) evidence.push({ kind: 'short-lived' });
  const good = evidence.length > 0;
  return {
    certificate,
    status: revoked ? 'revoked' : good ? 'good' : stale ? 'stale' : 'unknown',
    revokedAt: revoked?.at,
    reason: revoked?.reason,
    evidence,
    problems,
  };
}

/** BR 1.6.1, Short-lived Subscriber Certificate, from 2026-03-15. Milliseconds. */
const shortLife = 7 * 86_400_000;

/** It lives for seven days at most and names neither CRL nor OCSP responder (BR 4.9.10). */
export function needsNoRevocation(certificate: Certificate): boolean {
  const { notBefore, notAfter } = certificate;
  return notAfter.getTime() - notBefore.getTime() <= shortLife && !namesRevocationSource(certificate);
}

/** Whether it says where its status is to be had. A broken extension is not absent. */
export function namesRevocationSource(certificate: Certificate): boolean {
  try {
    const points = read.crlDistributionPoints(certificate) ?? [];
    return points.length + read.ocspUris(certificate).length > 0;
  } catch (error) {
    if (error instanceof PkiError) return true;
    throw error;
  }
}
