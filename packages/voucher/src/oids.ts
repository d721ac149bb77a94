/** Object identifiers, as dotted text and as whole DER values, for comparison without decoding. */
import { der } from '@mecai/pki';

/** A UUID under the joint-iso-itu-t arc 2.25 (ITU-T X.667), which needs no registration. */
export const mecaiArc = '2.25.125232251789083715658125181961959469889';

export const oids = {
  /** eContentType of a voucher. */
  voucher: `${mecaiArc}.1`,
  /** Extended key usage of a VA certificate. */
  voucherSigning: `${mecaiArc}.2`,
  /** Parent of extensions; none of vouchers and requests is defined in version 1. */
  extensions: `${mecaiArc}.3`,
  /** Certificate extension that carries a voucher: see staple-container.ts. */
  voucherContainer: `${mecaiArc}.3.1`,
  /** Parent of the ASN.1 modules. */
  modules: `${mecaiArc}.4`,
  /** RFC 5652 section 5.1. */
  signedData: '1.2.840.113549.1.7.2',
  /** RFC 5652 section 11. */
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5',
  /** RFC 5035 section 3. */
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
  /** RFC 5940 section 2.1. */
  ocspResponse: '1.3.6.1.5.5.7.16.2',
  /** RFC 5754 section 2. */
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  /** RFC 5754 section 3.3. */
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ecdsaWithSha384: '1.2.840.10045.4.3.3',
} as const;

/** Whole TLVs of those that are written or compared on the hot path. */
export const oidDer = {
  voucher: der.oid(oids.voucher),
  signedData: der.oid(oids.signedData),
  contentType: der.oid(oids.contentType),
  messageDigest: der.oid(oids.messageDigest),
  signingTime: der.oid(oids.signingTime),
  signingCertificateV2: der.oid(oids.signingCertificateV2),
  ocspResponse: der.oid(oids.ocspResponse),
  sha256: der.oid(oids.sha256),
  sha384: der.oid(oids.sha384),
  ecdsaWithSha256: der.oid(oids.ecdsaWithSha256),
  ecdsaWithSha384: der.oid(oids.ecdsaWithSha384),
} as const;
