/**
 * Voucher content into a CMS SignedData (RFC 5652), in two steps so that the key can stay in an HSM and
 * a linter can stand between: `prepare` gives the octets to sign, `finish` takes the signature.
 */
import {
  type Certificate,
  constructed,
  der,
  DerReader,
  parseCertificate,
  PkiError,
  type RevocationDocument,
} from '@mecai/pki';
import { createPublicKey, hash } from 'node:crypto';
import { VoucherError } from './error.ts';
import { oidDer } from './oids.ts';
import { voucherLimits, type Voucher } from './voucher.ts';
import { encodeVoucher, fits } from './voucher-encoder.ts';

export type DigestAlgorithm = 'sha256' | 'sha384';

export interface VoucherSigner {
  readonly certificate: Certificate;
  /** Fixed by the curve of the certificate's key: P-256 signs over SHA-256, P-384 over SHA-384. */
  readonly digestAlgorithm: DigestAlgorithm;
  /** Throws `not-encodable`. `signingTime` is cut to whole seconds. */
  prepare(voucher: Voucher, signingTime: Date): PreparedVoucher;
}

export interface PreparedVoucher {
  /** DER of Voucher: the eContent. */
  readonly content: Uint8Array;
  /** SHA-256 of `content`: the voucher's identity. */
  readonly contentHash: Uint8Array;
  /** DER of the SET OF signedAttrs: what the signature covers (RFC 5652 section 5.4). */
  readonly toBeSigned: Uint8Array;
  readonly digestAlgorithm: DigestAlgorithm;
  /**
   * ContentInfo from a DER ECDSA-Sig-Value. Throws `not-encodable`.
   *
   * @param revocation of the VA certificate and those above it; not covered by the signature, since their CAs
   *   sign them
   */
  finish(signature: Uint8Array, revocation?: readonly RevocationDocument[]): Uint8Array;
}

export interface VoucherSignerOptions {
  /** DER of the VA certificate, with a P-256 or P-384 key. */
  readonly certificate: Uint8Array;
  /** DER of each certificate between it and the root, without the root. */
  readonly intermediates: readonly Uint8Array[];
}

const curves: Readonly<Record<string, DigestAlgorithm>> = { prime256v1: 'sha256', secp384r1: 'sha384' };

/** AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER } -- no parameters: RFC 5754 */
const algorithms = {
  sha256: { digest: der.sequence(oidDer.sha256), signature: der.sequence(oidDer.ecdsaWithSha256) },
  sha384: { digest: der.sequence(oidDer.sha384), signature: der.sequence(oidDer.ecdsaWithSha384) },
} as const;

/** Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue } */
const attribute = (type: Uint8Array, value: Uint8Array): Uint8Array => der.sequence(type, der.setOf(value));

const contentTypeAttribute = attribute(oidDer.contentType, oidDer.voucher);

/**
 * ContentInfo ::= SEQUENCE { contentType id-signedData, content [0] EXPLICIT SignedData }
 * SignedData ::= SEQUENCE { version, digestAlgorithms SET OF AlgorithmIdentifier, encapContentInfo,
 *   certificates [0] IMPLICIT SET OF Certificate, crls [1] IMPLICIT RevocationInfoChoices OPTIONAL,
 *   signerInfos SET OF SignerInfo }
 * EncapsulatedContentInfo ::= SEQUENCE { eContentType id-mecai-ct-voucher, eContent [0] EXPLICIT OCTET STRING }
 * SignerInfo ::= SEQUENCE { version 1, sid IssuerAndSerialNumber, digestAlgorithm,
 *   signedAttrs [0] IMPLICIT SET OF Attribute, signatureAlgorithm, signature OCTET STRING }
 * IssuerAndSerialNumber ::= SEQUENCE { issuer Name, serialNumber INTEGER }
 *
 * The version is 3 because the content type is not id-data, and 5 with an OCSP response (RFC 5652 section 5.1).
 * The signer is named by
 * issuer and serial number, which every certificate has and every CMS implementation must support; a
 * subject key identifier would save some octets but is an optional extension, and chosen by the CA.
 *
 * Everything that does not change from voucher to voucher is encoded here, once.
 */
export function voucherSigner({ certificate: bytes, intermediates }: VoucherSignerOptions): VoucherSigner {
  const certificate = parseSignerCertificate(bytes);
  const digestAlgorithm = digestForKey(certificate);
  const algorithm = algorithms[digestAlgorithm];

  const digestAlgorithms = der.setOf(algorithm.digest);
  const certificates = der.setOf(bytes, ...intermediates);
  certificates[0] = constructed(0);
  const signerVersion = der.integer(1);
  const signerIdentifier = der.sequence(certificate.issuer, der.tlv(0x02, certificate.serial));
  const certificateAttribute = signingCertificateAttribute(bytes);

  return { certificate, digestAlgorithm, prepare };

  function prepare(voucher: Voucher, signingTime: Date): PreparedVoucher {
    const content = encodeVoucher(voucher);
    const contentHash = hash('sha256', content, 'buffer');
    const messageDigest =
      digestAlgorithm === 'sha256' ? contentHash : hash(digestAlgorithm, content, 'buffer');
    const toBeSigned = der.setOf(
      contentTypeAttribute,
      attribute(oidDer.messageDigest, der.octetString(messageDigest)),
      attribute(oidDer.signingTime, der.time(signingTime)),
      certificateAttribute,
    );
    return { content, contentHash, toBeSigned, digestAlgorithm, finish };

    function finish(signature: Uint8Array, revocation: readonly RevocationDocument[] = []): Uint8Array {
      checkSignatureValue(signature);
      const signedAttributes = toBeSigned.slice();
      signedAttributes[0] = constructed(0);
      const signerInfo = der.sequence(
        signerVersion,
        signerIdentifier,
        algorithm.digest,
        signedAttributes,
        algorithm.signature,
        der.octetString(signature),
      );
      const signedData = der.sequence(
        der.integer(revocation.some(({ kind }) => kind === 'ocsp') ? 5 : 3),
        digestAlgorithms,
        der.sequence(oidDer.voucher, der.tlv(constructed(0), der.octetString(content))),
        certificates,
        ...(revocation.length > 0 ? [revocationInfoChoices(revocation)] : []),
        der.tlv(0x31, signerInfo),
      );
      const contentInfo = der.sequence(oidDer.signedData, der.tlv(constructed(0), signedData));
      fits(contentInfo.length <= voucherLimits.signedOctets, `voucher of ${contentInfo.length} octets`);
      return contentInfo;
    }
  }
}

/** `voucherSigner` and `prepare` in one, for those who sign a single voucher. */
export const prepareVoucher = (
  voucher: Voucher,
  options: VoucherSignerOptions & { readonly signingTime: Date },
): PreparedVoucher => voucherSigner(options).prepare(voucher, options.signingTime);

/**
 * RevocationInfoChoices ::= SET OF RevocationInfoChoice (RFC 5652 section 10.2.1)
 * RevocationInfoChoice ::= CHOICE { crl CertificateList, other [1] IMPLICIT OtherRevocationInfoFormat }
 * OtherRevocationInfoFormat ::= SEQUENCE { id-ri-ocsp-response, OCSPResponse } (RFC 5940 section 2.1)
 */
function revocationInfoChoices(documents: readonly RevocationDocument[]): Uint8Array {
  fits(documents.length <= voucherLimits.revocationDocuments, `${documents.length} revocation documents`);
  const choices = documents.map(({ kind, der: bytes }) => {
    fits(bytes.length <= voucherLimits.revocationOctets, `revocation document of ${bytes.length} octets`);
    return kind === 'crl' ? bytes : der.tlv(constructed(1), oidDer.ocspResponse, bytes);
  });
  const set = der.setOf(...choices);
  set[0] = constructed(1);
  return set;
}

/**
 * SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2 }
 * ESSCertIDv2 ::= SEQUENCE { certHash OCTET STRING } -- hashAlgorithm is SHA-256 by DEFAULT (RFC 5035)
 */
function signingCertificateAttribute(certificate: Uint8Array): Uint8Array {
  const certHash = der.octetString(hash('sha256', certificate, 'buffer'));
  return attribute(oidDer.signingCertificateV2, der.sequence(der.sequence(der.sequence(certHash))));
}

/**
 * ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279 section 2.2.3) from r and s side by
 * side, each of the curve's size, as PKCS#11 and IEEE P1363 give them.
 */
export function ecdsaSigValue(raw: Uint8Array): Uint8Array {
  fits(raw.length === 64 || raw.length === 96, `ECDSA signature of ${raw.length} octets`);
  const half = raw.length / 2;
  return der.sequence(der.unsignedInteger(raw.subarray(0, half)), der.unsignedInteger(raw.subarray(half)));
}

function checkSignatureValue(signature: Uint8Array): void {
  try {
    const reader = DerReader.whole(signature);
    reader.integerBytes();
    reader.integerBytes();
    reader.end();
  } catch (cause) {
    throw new VoucherError('not-encodable', 'the signature is no DER ECDSA-Sig-Value', { cause });
  }
}

function parseSignerCertificate(bytes: Uint8Array): Certificate {
  try {
    return parseCertificate(bytes);
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause;
    throw new VoucherError('not-encodable', `VA certificate: ${cause.message}`, { cause });
  }
}

function digestForKey(certificate: Certificate): DigestAlgorithm {
  const key = createPublicKey({ key: Buffer.from(certificate.spki), format: 'der', type: 'spki' });
  const digest = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (!digest) throw new VoucherError('not-encodable', 'the VA key is neither on P-256 nor on P-384');
  return digest;
}
