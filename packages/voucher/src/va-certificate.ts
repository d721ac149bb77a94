/** The certificate that signs vouchers, and its way up to a VA root (RFC 5280 section 6.1, narrowed). */
import {
  basicConstraints,
  type Certificate,
  extKeyUsage,
  hasUsage,
  keyUsage,
  keyUsageBits,
  parseCertificate,
  PkiError,
  extensionOids,
  keyPurposes,
  publicKey,
  type PublicKeyInfo,
  readName,
  readPublicKey,
  readSignatureAlgorithm,
  verifySignature,
} from '@mecai/pki';
import type { KeyObject } from 'node:crypto';
import type { DigestAlgorithm } from './cms-encoder.ts';
import { VoucherError } from './error.ts';
import { oids } from './oids.ts';

export interface VoucherKey {
  readonly key: KeyObject;
  readonly digestAlgorithm: DigestAlgorithm;
}

export interface VaPath {
  /** VA certificate first, root last. */
  readonly certificates: readonly Certificate[];
  /** The time during which all of them are valid. */
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Signatures verified for one path at most; ten included certificates that all link need no more. */
const signatureBudget = 32;

/** Below, forgeable (BR 6.1.5); above, there to keep a verifier busy, ten times as long at twice the size. */
const rsaBits = { least: 2_048, most: 8_192 } as const;

/** Extensions whose being critical is no obstacle (RFC 5280 section 4.2). */
const processed = new Set<string>([
  extensionOids.keyUsage,
  extensionOids.basicConstraints,
  extensionOids.extKeyUsage,
  extensionOids.subjectAltName, // names that nobody compares here
  extensionOids.certificatePolicies, // any policy will do
]);

/** Reads a certificate; throws `malformed`. */
export function readCertificate(bytes: Uint8Array, what: string): Certificate {
  try {
    return parseCertificate(bytes);
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause;
    throw new VoucherError('malformed', `${what}: ${cause.message}`, { cause });
  }
}

/**
 * The key of a certificate made for signing vouchers: voucher-signing is its only extended key usage, as
 * for time-stamping (RFC 3161 section 2.3), so that no other key can be used for it, nor it for anything
 * else; it may sign data, is no CA, and is on P-256 or P-384. Throws `not-a-voucher-certificate`.
 */
export function voucherKey(certificate: Certificate): VoucherKey {
  const fault = reading(
    () => voucherFault(certificate),
    () => 'an extension of it cannot be read',
  );
  if (fault !== undefined) throw unsuitable(fault);
  const digestAlgorithm = digestFor(certificate);
  if (!digestAlgorithm) throw unsuitable('its key is neither on P-256 nor on P-384');
  const key = publicKey(certificate);
  if (!key) throw unsuitable('its key cannot be read');
  return { key, digestAlgorithm };
}

function digestFor({ spki }: Certificate): DigestAlgorithm | undefined {
  const key = reading(
    () => readPublicKey(spki),
    () => undefined,
  );
  if (key?.kind !== 'ec') return undefined;
  return key.curve === 'P-256' ? 'sha256' : key.curve === 'P-384' ? 'sha384' : undefined;
}

function voucherFault(certificate: Certificate): string | undefined {
  const purposes = extKeyUsage(certificate);
  if (purposes?.length !== 1 || purposes[0] !== oids.voucherSigning) {
    return 'voucher-signing is not its only extended key usage';
  }
  if (!mayBeUsedFor(certificate, 'digitalSignature')) return 'its key must not sign data';
  if (basicConstraints(certificate)?.ca) return 'it is a CA certificate';
  const unknown = unknownCritical(certificate);
  return unknown && `unknown critical extension ${unknown}`;
}

/**
 * A path of certificates valid at `now` from the VA certificate to one of the roots. Throws
 * `va-certificate-expired` if there is one at another time only, and `untrusted-va` if there is none.
 */
export function findVaPath(
  leaf: Certificate,
  included: readonly Certificate[],
  roots: readonly Certificate[],
  now: Date,
): VaPath {
  const path = searchPath(leaf, included, roots, now);
  if (path) return { certificates: path, ...commonValidity(path) };
  if (searchPath(leaf, included, roots, undefined)) {
    throw new VoucherError('va-certificate-expired', 'the VA certificate or one above it is not valid now');
  }
  throw new VoucherError('untrusted-va', 'no path from the VA certificate to a VA root');
}

function searchPath(
  leaf: Certificate,
  included: readonly Certificate[],
  roots: readonly Certificate[],
  now: Date | undefined,
): Certificate[] | undefined {
  let budget = signatureBudget;
  return validAt(leaf, now) ? extend([leaf]) : undefined;

  function extend(path: readonly Certificate[]): Certificate[] | undefined {
    const last = path.at(-1)!;
    for (const root of roots) if (issues(root, last, path)) return [...path, root];
    for (const one of included) {
      if (path.includes(one) || !issues(one, last, path)) continue;
      const whole = extend([...path, one]);
      if (whole) return whole;
    }
    return undefined;
  }

  function issues(issuer: Certificate, subject: Certificate, below: readonly Certificate[]): boolean {
    return (
      Buffer.compare(issuer.subject, subject.issuer) === 0 &&
      validAt(issuer, now) &&
      reading(
        () => isVoucherCa(issuer, below),
        () => false,
      ) &&
      budget-- > 0 &&
      signed(issuer, subject)
    );
  }
}

/** Whether a CA certificate allows what is below it (RFC 5280 sections 4.2.1.3, 4.2.1.9 and 4.2.1.12). */
function isVoucherCa(certificate: Certificate, below: readonly Certificate[]): boolean {
  const { ca = false, pathLength } = basicConstraints(certificate) ?? {};
  // Self-issued certificates do not count, nor does the end entity.
  const casBelow = below.slice(1).filter((one) => Buffer.compare(one.issuer, one.subject) !== 0).length;
  const purposes = extKeyUsage(certificate);
  return (
    ca &&
    (pathLength === undefined || casBelow <= pathLength) &&
    mayBeUsedFor(certificate, 'keyCertSign') &&
    (!purposes || purposes.includes(oids.voucherSigning) || purposes.includes(keyPurposes.any)) &&
    unknownCritical(certificate) === undefined
  );
}

/**
 * Whether `issuer`'s key signed `subject`, with an algorithm and a key that can be relied upon. What cannot be read, names
 * included, is not signed.
 */
export const signed = (issuer: Certificate, subject: Certificate): boolean =>
  reading(
    () => {
      readName(subject.issuer);
      readName(subject.subject);
      const algorithm = readSignatureAlgorithm(subject.signatureAlgorithm);
      const key = isReliable(readPublicKey(issuer.spki)) ? publicKey(issuer) : null;
      return (
        algorithm.hash !== 'sha1' &&
        key !== null &&
        verifySignature(algorithm, key, subject.tbs, subject.signature)
      );
    },
    () => false,
  );

const isReliable = (key: PublicKeyInfo): boolean =>
  key.kind !== 'rsa' ||
  (key.bits >= rsaBits.least && key.bits <= rsaBits.most && key.exponent >= 3 && key.exponent % 2 === 1);

const validAt = (certificate: Certificate, now: Date | undefined): boolean =>
  !now || (certificate.notBefore <= now && now <= certificate.notAfter);

function commonValidity(path: readonly Certificate[]): { notBefore: Date; notAfter: Date } {
  const notBefore = Math.max(...path.map((one) => one.notBefore.getTime()));
  const notAfter = Math.min(...path.map((one) => one.notAfter.getTime()));
  return { notBefore: new Date(notBefore), notAfter: new Date(notAfter) };
}

/** Whether keyUsage allows it; without the extension a key may be used for everything. */
export function mayBeUsedFor(certificate: Certificate, usage: keyof typeof keyUsageBits): boolean {
  const usages = keyUsage(certificate);
  return usages === undefined || hasUsage(usages, keyUsageBits[usage]);
}

const unknownCritical = (certificate: Certificate): string | undefined =>
  certificate.extensions.find((one) => one.critical && !processed.has(one.oid))?.oid;

/** Extensions are read on demand only: a malformed one shows as `PkiError` at that moment. */
function reading<T>(read: () => T, otherwise: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof PkiError) return otherwise();
    throw error;
  }
}

const unsuitable = (why: string) =>
  new VoucherError('not-a-voucher-certificate', `the signer's certificate is not for vouchers: ${why}`);
