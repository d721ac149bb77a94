/** What an OCSP response says of a certificate, once everything about it is verified (RFC 6960 section 3.2). */
import { hash } from 'node:crypto';
import { sameBytes } from '@mecai/addresses';
import { readSignatureAlgorithm, verifySignature } from './algorithms.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { clockSkew } from './crl.ts';
import { PkiError } from './error.ts';
import * as read from './extensions.ts';
import { sameName } from './name.ts';
import { issuerHashes, publicKeyBits } from './ocsp-request.ts';
import { type BasicResponse, parseOcspResponse, type SingleResponse } from './ocsp-response.ts';
import { publicKey } from './public-key.ts';

export interface OcspVerdict {
  readonly status: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate: Date;
  /**
   * Where the response has none: an hour after thisUpdate. Not later than the end of the certificate of the
   * responder that the issuer delegated to.
   */
  readonly nextUpdate: Date;
  readonly producedAt: Date;
  readonly revokedAt: Date | undefined;
  readonly reason: number | undefined;
  /** SignedCertificateTimestampList. */
  readonly scts: Uint8Array | undefined;
  /** The response, verbatim. */
  readonly der: Uint8Array;
}

export interface OcspOptions {
  /** The nonce that was sent. A response may leave it out, but not have another. */
  readonly nonce?: Uint8Array;
  /** Refuse delegated responders without id-pkix-ocsp-nocheck, which BR 4.9.9 asks of them. */
  readonly requireNoCheck?: boolean;
}

/** How long a response without nextUpdate is taken for current, in milliseconds. */
const withoutNextUpdate = 3_600_000;

/** Throws `PkiError`: `malformed`, `unverified`, `stale`, `unsupported`, `limit`, `unreachable`. */
export function verifyOcsp(
  bytes: Uint8Array,
  certificate: Certificate,
  issuer: Certificate,
  now: Date,
  options: OcspOptions = {},
): OcspVerdict {
  return verifyResponse(parseOcspResponse(bytes), certificate, issuer, now, options);
}

/** `verifyOcsp` for a response that is read already. */
export function verifyResponse(
  response: BasicResponse,
  certificate: Certificate,
  issuer: Certificate,
  now: Date,
  options: OcspOptions = {},
): OcspVerdict {
  if (options.nonce && response.nonce && !sameBytes(options.nonce, response.nonce)) {
    throw new PkiError('unverified', 'OCSP: another nonce than was sent');
  }
  const single = response.responses.find((one) => isAbout(one, certificate, issuer));
  if (!single) throw new PkiError('unverified', 'OCSP: the response is about another certificate');
  const algorithm = readSignatureAlgorithm(response.signatureAlgorithm);
  const signer = findSigner(response, issuer, now, options);
  const key = publicKey(signer);
  if (
    algorithm.hash === 'sha1' ||
    !key ||
    !verifySignature(algorithm, key, response.tbs, response.signature)
  ) {
    throw new PkiError('unverified', 'OCSP: the signature does not verify');
  }
  const { thisUpdate, status, revokedAt, reason, scts } = single;
  const stated = single.nextUpdate ?? new Date(thisUpdate.getTime() + withoutNextUpdate);
  const nextUpdate = signer !== issuer && signer.notAfter < stated ? signer.notAfter : stated;
  if (thisUpdate.getTime() > now.getTime() + clockSkew) throw new PkiError('stale', 'OCSP: from the future');
  if (nextUpdate < now) throw new PkiError('stale', `OCSP: nextUpdate was ${nextUpdate.toISOString()}`);
  const { producedAt, der } = response;
  return { status, thisUpdate, nextUpdate, producedAt, revokedAt, reason, scts, der };
}

export function isAbout(single: SingleResponse, certificate: Certificate, issuer: Certificate): boolean {
  if (!single.hash || !sameBytes(single.serial, certificate.serial)) return false;
  const hashes = issuerHashes(issuer, single.hash);
  return sameBytes(single.issuerNameHash, hashes.name) && sameBytes(single.issuerKeyHash, hashes.key);
}

/** The issuer, or a responder that it authorized (RFC 6960 section 4.2.2.2). */
function findSigner(
  response: BasicResponse,
  issuer: Certificate,
  now: Date,
  options: OcspOptions,
): Certificate {
  if (isResponder(response, issuer)) return issuer;
  let reason = 'OCSP: the responder is neither the issuer nor among the certificates sent';
  for (const der of response.certificates) {
    let delegate: Certificate;
    try {
      delegate = parseCertificate(der);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      continue;
    }
    if (!isResponder(response, delegate)) continue;
    const broken = delegateFault(delegate, issuer, now, options);
    if (broken === undefined) return delegate;
    reason = `OCSP: ${broken}`;
  }
  throw new PkiError('unverified', reason);
}

function isResponder({ responder }: BasicResponse, certificate: Certificate): boolean {
  if ('name' in responder) return sameName(responder.name, certificate.subject);
  return sameBytes(responder.keyHash, hash('sha1', publicKeyBits(certificate.spki), 'buffer'));
}

function delegateFault(
  delegate: Certificate,
  issuer: Certificate,
  now: Date,
  options: OcspOptions,
): string | undefined {
  if (!sameName(delegate.issuer, issuer.subject)) return 'responder of another issuer';
  if (now < delegate.notBefore || now > delegate.notAfter) return 'responder certificate not valid now';
  if (!read.extKeyUsage(delegate)?.includes(read.keyPurposes.ocspSigning))
    return 'responder without id-kp-OCSPSigning';
  const usage = read.keyUsage(delegate);
  if (usage !== undefined && !read.hasUsage(usage, read.keyUsageBits.digitalSignature)) {
    return 'responder without digitalSignature';
  }
  const noCheck = delegate.extensions.some(({ oid }) => oid === read.extensionOids.ocspNoCheck);
  if (options.requireNoCheck && !noCheck) return 'responder without id-pkix-ocsp-nocheck';
  const critical = delegate.extensions.find((one) => one.critical && !understood.has(one.oid));
  if (critical) return `responder with unknown critical extension ${critical.oid}`;
  const algorithm = readSignatureAlgorithm(delegate.signatureAlgorithm);
  const key = publicKey(issuer);
  if (
    algorithm.hash === 'sha1' ||
    !key ||
    !verifySignature(algorithm, key, delegate.tbs, delegate.signature)
  ) {
    return 'the issuer did not sign the responder certificate';
  }
  return undefined;
}

const understood: ReadonlySet<string> = new Set([
  read.extensionOids.keyUsage,
  read.extensionOids.extKeyUsage,
  read.extensionOids.basicConstraints,
  read.extensionOids.ocspNoCheck,
  read.extensionOids.certificatePolicies,
]);
