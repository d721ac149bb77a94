/** CMS signatures (RFC 5652): beside MIME entities (RFC 8551 section 3.5), and around JSON for programs. */
import { createHash, sign } from 'node:crypto';
import { constructed, der, tags } from '@mecai/pki';
import { type Identity, isP256 } from './identity.ts';

const oid = {
  data: der.oid('1.2.840.113549.1.7.1'),
  signedData: der.oid('1.2.840.113549.1.7.2'),
  contentType: der.oid('1.2.840.113549.1.9.3'),
  messageDigest: der.oid('1.2.840.113549.1.9.4'),
  signingTime: der.oid('1.2.840.113549.1.9.5'),
  /** RFC 5035 section 3. */
  signingCertificateV2: der.oid('1.2.840.113549.1.9.16.2.47'),
};
/** RFC 5754: no parameters, except NULL for RSA. */
const sha256 = der.sequence(der.oid('2.16.840.1.101.3.4.2.1'));
const ecdsaWithSha256 = der.sequence(der.oid('1.2.840.10045.4.3.2'));
const sha256WithRsa = der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nullValue());

const attribute = (type: Uint8Array, value: Uint8Array) => der.sequence(type, der.setOf(value));

/**
 * ContentInfo ::= SEQUENCE { contentType id-signedData, content [0] EXPLICIT SignedData }
 * SignedData ::= SEQUENCE { version 1, digestAlgorithms SET OF AlgorithmIdentifier,
 *   encapContentInfo SEQUENCE { eContentType id-data, eContent [0] EXPLICIT OCTET STRING OPTIONAL }, certificates [0] IMPLICIT SET OF Certificate,
 *   signerInfos SET OF SignerInfo }
 * SignerInfo ::= SEQUENCE { version 1, sid IssuerAndSerialNumber, digestAlgorithm,
 *   signedAttrs [0] IMPLICIT SET OF Attribute, signatureAlgorithm, signature OCTET STRING }
 *
 * The version is 1: the content is id-data and the signer is named by issuer and serial number.
 *
 * @param content the octets as they travel, lines ending in CRLF
 */
export const detachedSignature = (content: Uint8Array, identity: Identity, signingTime: Date): Uint8Array =>
  signedData(content, identity, signingTime, der.sequence(oid.data));

/** JSON with a signature, as `openssl cms -verify -binary -inform DER` takes it. */
export function signedJson(value: object, identity: Identity, signingTime: Date): Uint8Array {
  const content = Buffer.from(JSON.stringify(value));
  const encapsulated = der.sequence(oid.data, der.tlv(constructed(0), der.octetString(content)));
  return signedData(content, identity, signingTime, encapsulated);
}

function signedData(
  content: Uint8Array,
  { certificates, key }: Identity,
  signingTime: Date,
  encapsulated: Uint8Array,
): Uint8Array {
  const leaf = certificates[0]!;
  const attributes = der.setOf(
    attribute(oid.contentType, oid.data),
    attribute(oid.messageDigest, der.octetString(digest(content))),
    attribute(oid.signingTime, der.time(signingTime)),
    // ESSCertIDv2 with SHA-256 by DEFAULT: another certificate with this key does not fit.
    attribute(
      oid.signingCertificateV2,
      der.sequence(der.sequence(der.sequence(der.octetString(digest(leaf.der))))),
    ),
  );
  // RFC 5652 section 5.4: the signature is over the SET, which travels as [0].
  const signature = sign('sha256', attributes, key);
  const implicitAttributes = retagged(attributes);
  const signerInfo = der.sequence(
    der.integer(1),
    der.sequence(leaf.issuer, der.tlv(tags.integer, leaf.serial)),
    sha256,
    implicitAttributes,
    isP256(key) ? ecdsaWithSha256 : sha256WithRsa,
    der.octetString(signature),
  );
  const signed = der.sequence(
    der.integer(1),
    der.setOf(sha256),
    encapsulated,
    retagged(der.setOf(...certificates.map((one) => one.der))),
    der.setOf(signerInfo),
  );
  return der.sequence(oid.signedData, der.tlv(constructed(0), signed));
}

/** A SET OF as `[0] IMPLICIT`. */
function retagged(set: Uint8Array): Uint8Array {
  const bytes = set.slice();
  bytes[0] = constructed(0);
  return bytes;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
