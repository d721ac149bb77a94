/** The signed form of a voucher, taken apart strictly and without trust. */
import { constructed, type DerReader, type RevocationDocument, tags } from '@mecai/pki';
import { hash } from 'node:crypto';
import { readDer } from './der-input.ts';
import { oidDer } from './oids.ts';
import { decodeVoucher, integerIn, listOf, malformed, octets } from './voucher-decoder.ts';
import { type Voucher, voucherLimits } from './voucher.ts';

/** All views point into the bytes given. */
export interface SignedVoucher {
  readonly voucher: Voucher;
  /** DER of Voucher: the eContent. */
  readonly content: Uint8Array;
  /** SHA-256 of `content`: the voucher's identity, since the bytes around it are malleable. */
  readonly contentHash: Uint8Array;
  /** Of the message-digest attribute and of the signature. */
  readonly digestAlgorithm: 'sha256' | 'sha384';
  readonly messageDigest: Uint8Array;
  readonly signingTime: Date;
  /** The included certificate that the signing-certificate-v2 attribute and the sid name. */
  readonly vaCertificate: Uint8Array;
  /** SHA-256 of `vaCertificate`. */
  readonly vaCertificateHash: Uint8Array;
  /** Every included certificate, `vaCertificate` among them. */
  readonly certificates: readonly Uint8Array[];
  /** About the VA's own certificates; outside the signature. */
  readonly revocation: readonly RevocationDocument[];
  /** DER of the SET OF signedAttrs: what the signature covers. */
  readonly toBeSigned: Uint8Array;
  /** DER ECDSA-Sig-Value. */
  readonly signature: Uint8Array;
}

const limits = { certificates: 10, certificateOctets: 16_384, signatureOctets: 128 } as const;

const algorithms = [
  { name: 'sha256', octets: 32, digest: oidDer.sha256, signature: oidDer.ecdsaWithSha256 },
  { name: 'sha384', octets: 48, digest: oidDer.sha384, signature: oidDer.ecdsaWithSha384 },
] as const;
type Algorithm = (typeof algorithms)[number];

/**
 * ContentInfo ::= SEQUENCE { contentType id-signedData, content [0] EXPLICIT SignedData }
 * SignedData ::= SEQUENCE { version CMSVersion, digestAlgorithms SET OF AlgorithmIdentifier,
 *   encapContentInfo EncapsulatedContentInfo, certificates [0] IMPLICIT CertificateSet OPTIONAL,
 *   crls [1] IMPLICIT RevocationInfoChoices OPTIONAL, signerInfos SET OF SignerInfo }
 * (RFC 5652 section 5.1), as profiled at the end of mecai.asn1: version 3, or 5 with OCSP responses among the
 * crls, one digest algorithm, certificates present, one signer.
 *
 * Throws `VoucherError` with `malformed`, `unsupported-version` or `unknown-critical-extension`. Nothing
 * is verified: neither the digest nor the signature nor where the certificates come from.
 */
export function parseSignedVoucher(contentInfo: Uint8Array): SignedVoucher {
  if (contentInfo.length > voucherLimits.signedOctets) throw malformed('signed voucher: too long');
  return readDer('signed voucher', contentInfo, (outer) => {
    expect(outer, oidDer.signedData, 'content type');
    const explicit = outer.enter(constructed(0));
    const signedData = explicit.sequence();
    explicit.end();

    const version = signedData.integer();
    const digestAlgorithms = signedData.enter(tags.set);
    const algorithm = readDigestAlgorithm(digestAlgorithms);
    digestAlgorithms.end();
    const content = readContent(signedData.sequence());
    const certificates = readCertificates(signedData);
    const revocation = readRevocation(signedData);
    const withOcsp = revocation.some(({ kind }) => kind === 'ocsp');
    if (version !== (withOcsp ? 5 : 3)) throw malformed('SignedData version');
    const signerInfos = signedData.enter(tags.set);
    const signer = readSignerInfo(signerInfos.sequence(), algorithm);
    signerInfos.end();
    signedData.end();

    // As text, since a Buffer for each would cost more than its hash.
    const named = Buffer.from(signer.certificateHash).toString('latin1');
    const vaCertificate = certificates.find((one) => hash('sha256', one, 'latin1') === named);
    if (!vaCertificate) throw malformed("the signer's certificate is not included");
    if (!isNamedBy(vaCertificate, signer.sid)) {
      throw malformed('signer identifier and signing certificate differ');
    }
    return {
      voucher: decodeVoucher(content),
      content,
      contentHash: hash('sha256', content, 'buffer'),
      digestAlgorithm: algorithm.name,
      messageDigest: signer.messageDigest,
      signingTime: signer.signingTime,
      vaCertificate,
      vaCertificateHash: signer.certificateHash,
      certificates,
      revocation,
      toBeSigned: signer.toBeSigned,
      signature: signer.signature,
    };
  });
}

/**
 * EncapsulatedContentInfo ::= SEQUENCE { eContentType OBJECT IDENTIFIER,
 *   eContent [0] EXPLICIT OCTET STRING OPTIONAL }
 */
function readContent(reader: DerReader): Uint8Array {
  expect(reader, oidDer.voucher, 'eContentType');
  const explicit = reader.enter(constructed(0));
  const content = explicit.octetString();
  explicit.end();
  reader.end();
  return content;
}

/** CertificateSet ::= SET OF CertificateChoices, of which only Certificate is taken */
function readCertificates(reader: DerReader): Uint8Array[] {
  let previous: Uint8Array | undefined;
  return listOf(reader, 1, limits.certificates, 'certificates', readOne, constructed(0));

  function readOne(set: DerReader): Uint8Array {
    const one = set.raw(tags.sequence);
    if (one.length > limits.certificateOctets) throw malformed('size of a certificate');
    // Ascending as in any SET OF (X.690 11.6), and each once.
    if (previous && Buffer.compare(previous, one) >= 0) throw malformed('certificates not ascending');
    return (previous = one);
  }
}

/**
 * RevocationInfoChoices ::= SET OF RevocationInfoChoice
 * RevocationInfoChoice ::= CHOICE { crl CertificateList, other [1] IMPLICIT OtherRevocationInfoFormat }
 * (RFC 5652 section 10.2.1), where other is { id-ri-ocsp-response, OCSPResponse } (RFC 5940 section 2.1)
 */
function readRevocation(reader: DerReader): RevocationDocument[] {
  if (reader.peek() !== constructed(1)) return [];
  let previous: Uint8Array | undefined;
  return listOf(reader, 1, voucherLimits.revocationDocuments, 'crls', readOne, constructed(1));

  function readOne(set: DerReader): RevocationDocument {
    const tag = set.peek() === constructed(1) ? constructed(1) : tags.sequence;
    const choice = set.raw(tag);
    // Ascending as in any SET OF (X.690 11.6), and each once.
    if (previous && Buffer.compare(previous, choice) >= 0) throw malformed('crls not ascending');
    previous = choice;
    const document: RevocationDocument =
      tag === tags.sequence ? { kind: 'crl', der: choice } : { kind: 'ocsp', der: readOther(choice) };
    if (document.der.length > voucherLimits.revocationOctets) throw malformed('size of one of the crls');
    return document;
  }
}

const readOther = (choice: Uint8Array): Uint8Array =>
  readDer(
    'revocation information',
    choice,
    (other) => {
      expect(other, oidDer.ocspResponse, 'revocation information');
      return other.raw(tags.sequence);
    },
    constructed(1),
  );

interface SignerInfo {
  /** IssuerAndSerialNumber, content octets. */
  readonly sid: Uint8Array;
  readonly toBeSigned: Uint8Array;
  readonly messageDigest: Uint8Array;
  readonly signingTime: Date;
  readonly certificateHash: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * SignerInfo ::= SEQUENCE { version CMSVersion, sid SignerIdentifier, digestAlgorithm
 *   DigestAlgorithmIdentifier, signedAttrs [0] IMPLICIT SET SIZE (1..MAX) OF Attribute OPTIONAL,
 *   signatureAlgorithm SignatureAlgorithmIdentifier, signature OCTET STRING,
 *   unsignedAttrs [1] IMPLICIT SET SIZE (1..MAX) OF Attribute OPTIONAL }
 */
function readSignerInfo(reader: DerReader, algorithm: Algorithm): SignerInfo {
  // Version 1 goes with issuerAndSerialNumber (RFC 5652 section 5.3).
  if (reader.integer() !== 1) throw malformed('SignerInfo version');
  const sid = reader.content(tags.sequence);
  if (readDigestAlgorithm(reader) !== algorithm) throw malformed('digest algorithms differ');
  const signedAttributes = reader.raw(constructed(0));
  const signatureAlgorithm = reader.sequence();
  expect(signatureAlgorithm, algorithm.signature, 'signature algorithm');
  signatureAlgorithm.end();
  const signature = reader.octetString();
  if (signature.length > limits.signatureOctets) throw malformed('size of the signature');
  // Here unsignedAttrs would follow: outside the signature, so not taken.
  reader.end();
  const toBeSigned = Buffer.from(signedAttributes);
  toBeSigned[0] = tags.set;
  return { sid, toBeSigned, signature, ...readSignedAttributes(toBeSigned, algorithm) };
}

/**
 * SignedAttributes ::= SET SIZE (1..MAX) OF Attribute
 * Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue }
 * ContentType ::= OBJECT IDENTIFIER    MessageDigest ::= OCTET STRING    SigningTime ::= Time
 * SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies OPTIONAL }
 * ESSCertIDv2 ::= SEQUENCE { hashAlgorithm DEFAULT sha256, certHash OCTET STRING, issuerSerial OPTIONAL }
 */
function readSignedAttributes(
  set: Uint8Array,
  algorithm: Algorithm,
): Pick<SignerInfo, 'messageDigest' | 'signingTime' | 'certificateHash'> {
  return readDer(
    'signed attributes',
    set,
    (reader) => {
      let contentType = false;
      let messageDigest: Uint8Array | undefined;
      let signingTime: Date | undefined;
      let certificateHash: Uint8Array | undefined;
      let previous: Uint8Array | undefined;
      while (!reader.atEnd) {
        const attribute = reader.sequence();
        const encoding = reader.last();
        // Strictly ascending encodings: DER order, and at most four of four kinds means each once.
        if (previous && Buffer.compare(previous, encoding) >= 0) throw malformed('attributes not ascending');
        previous = encoding;
        const type = attribute.raw(tags.oid);
        const values = attribute.enter(tags.set);
        attribute.end();
        if (same(type, oidDer.contentType) && !contentType) {
          expect(values, oidDer.voucher, 'content-type attribute');
          contentType = true;
        } else if (same(type, oidDer.messageDigest) && !messageDigest) {
          messageDigest = octets(values, algorithm.octets, 'message digest');
        } else if (same(type, oidDer.signingTime) && !signingTime) {
          signingTime = readSigningTime(values);
        } else if (same(type, oidDer.signingCertificateV2) && !certificateHash) {
          certificateHash = readSigningCertificate(values.sequence());
        } else throw malformed('unexpected signed attribute');
        values.end();
      }
      if (!contentType || !messageDigest || !signingTime || !certificateHash) {
        throw malformed('signed attribute missing');
      }
      return { messageDigest, signingTime, certificateHash };
    },
    tags.set,
  );
}

/** UTCTime to 2049, GeneralizedTime from 2050 on (RFC 5652 section 11.3). */
function readSigningTime(values: DerReader): Date {
  const general = values.peek() === tags.generalizedTime;
  const signingTime = values.time();
  if (general && signingTime.getUTCFullYear() < 2050) throw malformed('signing time as GeneralizedTime');
  return signingTime;
}

function readSigningCertificate(reader: DerReader): Uint8Array {
  const certs = reader.sequence();
  reader.end();
  const essCertId = certs.sequence();
  certs.end();
  const certHash = octets(essCertId, 32, 'certHash');
  essCertId.end();
  return certHash;
}

/** AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER } -- no parameters: RFC 5754 section 2 */
function readDigestAlgorithm(reader: DerReader): Algorithm {
  const identifier = reader.sequence();
  const oid = identifier.raw(tags.oid);
  identifier.end();
  const algorithm = algorithms.find((one) => same(one.digest, oid));
  if (!algorithm) throw malformed('digest algorithm');
  return algorithm;
}

/** Whether the sid's content octets are issuer and serialNumber of the certificate (RFC 5280 section 4.1). */
function isNamedBy(certificate: Uint8Array, sid: Uint8Array): boolean {
  return readDer('VA certificate', certificate, (reader) => {
    const tbs = reader.sequence();
    reader.raw(tags.sequence);
    reader.raw(tags.bitString);
    const version = tbs.enter(constructed(0));
    integerIn(version, 2, 2, 'certificate version');
    const serialNumber = tbs.raw(tags.integer);
    tbs.raw(tags.sequence);
    const issuer = tbs.raw(tags.sequence);
    return same(sid.subarray(0, issuer.length), issuer) && same(sid.subarray(issuer.length), serialNumber);
  });
}

function expect(reader: DerReader, oid: Uint8Array, what: string): void {
  if (!same(reader.raw(tags.oid), oid)) throw malformed(what);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
