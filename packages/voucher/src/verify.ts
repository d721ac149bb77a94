/** Whether a signed voucher is to be believed: digest, signature, path to a VA root, time. */
import type { Certificate, KnownDocuments, RevocationDocument } from '@mecai/pki';
import { hash, verify as verifySignature } from 'node:crypto';
import { parseSignedVoucher, type SignedVoucher } from './cms-decoder.ts';
import { VoucherError } from './error.ts';
import { findVaPath, readCertificate, type VaPath, type VoucherKey, voucherKey } from './va-certificate.ts';
import { type VaStatus, vaStatusFrom, verifyVaDocuments } from './va-status.ts';
import type { Voucher } from './voucher.ts';

export interface VerifierOptions {
  /** DER of the VA roots to believe. */
  readonly roots: readonly Uint8Array[];
  /** Seconds since producedAt that are acceptable; without it notAfter alone decides. */
  readonly maxAgeSeconds?: number;
  /** Seconds by which the VA's clock may be ahead. Default 300. */
  readonly clockSkewSeconds?: number;
  /** What is known of the revocation of VA certificates beside what vouchers carry. */
  readonly revocation?: readonly RevocationDocument[];
}

export interface VerifiedVoucher {
  readonly content: Voucher;
  /** SHA-256 of the content: the voucher's identity. */
  readonly contentHash: Uint8Array;
  readonly vaCertificate: Certificate;
  /** From the VA certificate to the root. */
  readonly path: readonly Certificate[];
  readonly signingTime: Date;
  /** From the CRLs and OCSP responses that the voucher carries and those the verifier was given. Never `revoked`. */
  readonly vaStatus: VaStatus;
}

interface Issuer {
  /** All that were included: without its intermediate an issuer is another matter. */
  readonly certificates: readonly Uint8Array[];
  readonly key: VoucherKey;
  readonly path: VaPath;
  /** A VA's responses are the same in many vouchers. Oldest first. */
  readonly known: Known[];
}
interface Known {
  readonly revocation: readonly RevocationDocument[];
  readonly at: Date;
  readonly documents: readonly KnownDocuments[];
}

/** Issuers remembered; an attacker's certificates never get in, as only trusted ones do. */
const maxIssuers = 64;
/** Of each issuer: the ones before are not asked about again. */
const maxKnown = 8;

/**
 * Verifies vouchers against a fixed list of roots, and remembers the issuers it has found good. What it
 * says of a voucher does not depend on what it has seen before.
 */
export class VoucherVerifier {
  readonly #roots: readonly Certificate[];
  readonly #maxAgeMs: number;
  readonly #clockSkewMs: number;
  readonly #revocation: readonly RevocationDocument[];
  readonly #issuers = new Map<string, Issuer>();

  /** Throws `VoucherError` `malformed` for a root that cannot be read. */
  constructor({ roots, maxAgeSeconds = Infinity, clockSkewSeconds = 300, revocation = [] }: VerifierOptions) {
    this.#roots = roots.map((root, i) => readCertificate(root, `VA root ${i}`));
    this.#maxAgeMs = maxAgeSeconds * 1000;
    this.#clockSkewMs = clockSkewSeconds * 1000;
    this.#revocation = revocation;
  }

  /**
   * Throws `VoucherError`. Checked in this order, so that the first thing wrong gives the code: form, digest,
   * VA certificate, its path and validity, signature, revocation, and the voucher's own times.
   */
  verify(signedVoucher: Uint8Array, now: Date): VerifiedVoucher {
    const parsed = parseSignedVoucher(signedVoucher);
    checkDigest(parsed);
    const issuer = this.#issuer(parsed, now);
    const { key, path } = issuer;
    checkSignature(parsed, key);
    const status = vaStatusFrom(path.certificates, this.#documents(parsed, issuer, now), now);
    checkNotRevoked(status);
    this.#checkTimes(parsed.voucher, now);
    return {
      content: parsed.voucher,
      contentHash: parsed.contentHash,
      vaCertificate: path.certificates[0]!,
      path: path.certificates,
      signingTime: parsed.signingTime,
      vaStatus: status,
    };
  }

  #issuer(parsed: SignedVoucher, now: Date): Issuer {
    const { certificates } = parsed;
    const name = Buffer.from(parsed.vaCertificateHash).toString('latin1');
    const known = this.#issuers.get(name);
    const valid = known && known.path.notBefore <= now && now <= known.path.notAfter;
    if (valid && isSame(known.certificates, certificates, sameBytes)) return known;

    const certificate = readCertificate(copyOf(parsed.vaCertificate), 'VA certificate');
    const key = voucherKey(certificate);
    const included = certificates
      .filter((one) => one !== parsed.vaCertificate)
      .map((one) => readCertificate(copyOf(one), 'included certificate'));
    const path = findVaPath(certificate, included, this.#roots, now);
    const issuer = { certificates: certificates.map(copyOf), key, path, known: [] };
    if (this.#issuers.size >= maxIssuers) this.#issuers.delete(this.#issuers.keys().next().value!);
    this.#issuers.set(name, issuer);
    return issuer;
  }

  #documents(
    parsed: SignedVoucher,
    { path: { certificates }, known }: Issuer,
    now: Date,
  ): readonly KnownDocuments[] {
    // Those of the verifier are always the same. What was not from the future then is not now.
    const before = known.find(
      (one) => one.at <= now && isSame(one.revocation, parsed.revocation, sameDocument),
    );
    if (before) return before.documents;
    const revocation = parsed.revocation.map(({ kind, der }) => ({ kind, der: copyOf(der) }));
    const documents = verifyVaDocuments(certificates, [...revocation, ...this.#revocation], now);
    if (documents.some(({ problems }) => problems.length > 0)) return documents;
    if (known.length >= maxKnown) known.shift();
    known.push({ revocation, at: now, documents });
    return documents;
  }

  #checkTimes(voucher: Voucher, now: Date): void {
    const age = now.getTime() - voucher.producedAt.getTime();
    if (age < -this.#clockSkewMs) {
      throw new VoucherError(
        'not-yet-valid',
        `produced at ${voucher.producedAt.toISOString()}, in the future`,
      );
    }
    if (now > voucher.notAfter) {
      throw new VoucherError('expired', `expired at ${voucher.notAfter.toISOString()}`);
    }
    if (age > this.#maxAgeMs) {
      throw new VoucherError('expired', `produced at ${voucher.producedAt.toISOString()}, too long ago`);
    }
  }
}

/** `VoucherVerifier` for one voucher. */
export const verifyVoucher = (
  signedVoucher: Uint8Array,
  { now, ...options }: VerifierOptions & { readonly now: Date },
): VerifiedVoucher => new VoucherVerifier(options).verify(signedVoucher, now);

/** Throws `va-certificate-revoked`. */
function checkNotRevoked({ certificates }: VaStatus): void {
  const revoked = certificates.find(({ status }) => status === 'revoked');
  if (!revoked) return;
  const which = revoked === certificates[0] ? 'the VA certificate' : 'a certificate above the VA certificate';
  const when = revoked.revokedAt ? ` on ${revoked.revokedAt.toISOString()}` : '';
  throw new VoucherError('va-certificate-revoked', `${which} was revoked${when}`);
}

/** Throws `bad-digest` unless the message-digest attribute is that of the content. */
export function checkDigest(parsed: SignedVoucher): void {
  const { digestAlgorithm, content, contentHash, messageDigest } = parsed;
  const actual = digestAlgorithm === 'sha256' ? contentHash : hash(digestAlgorithm, content, 'buffer');
  if (Buffer.compare(actual, messageDigest) !== 0) {
    throw new VoucherError('bad-digest', 'the content does not have the digest that was signed');
  }
}

/** Throws `bad-signature` unless the key signed, over the digest that goes with its curve. */
export function checkSignature(parsed: SignedVoucher, { key, digestAlgorithm }: VoucherKey): void {
  const good =
    parsed.digestAlgorithm === digestAlgorithm &&
    verifySignature(digestAlgorithm, parsed.toBeSigned, key, parsed.signature);
  if (!good) throw new VoucherError('bad-signature', 'the signature is not that of the VA certificate');
}

/** What is remembered is the verifier's own: the caller may use his buffer again. */
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const sameDocument = (a: RevocationDocument, b: RevocationDocument): boolean =>
  a.kind === b.kind && sameBytes(a.der, b.der);
const isSame = <T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean =>
  a.length === b.length && a.every((one, i) => same(one, b[i]!));
