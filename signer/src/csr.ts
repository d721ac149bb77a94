import { constructed, der } from '@mecai/pki';
import { oids } from '@mecai/voucher';
import { SignerError } from './error.ts';

/** Object identifiers (RFC 4519 section 2) and the most characters (RFC 5280 appendix A.1, upper bounds). */
const attributes = new Map([
  ['CN', { oid: '2.5.4.3', most: 64 }],
  ['C', { oid: '2.5.4.6', most: 2 }],
  ['L', { oid: '2.5.4.7', most: 128 }],
  ['ST', { oid: '2.5.4.8', most: 128 }],
  ['O', { oid: '2.5.4.10', most: 64 }],
  ['OU', { oid: '2.5.4.11', most: 64 }],
]);

/**
 * `C=DE,O=Example CA,CN=Example VA` into a Name, in the order written. No escapes: a comma ends a value.
 *
 * @throws SignerError `wrong-usage`
 */
export function parseSubject(text: string): Uint8Array {
  const parts = text.split(',').map((part) => {
    const [, type = '', value = ''] = /^\s*([A-Z]+)=(.*\S)\s*$/.exec(part) ?? [];
    const attribute = attributes.get(type);
    if (!attribute || value.length > attribute.most || (type === 'C' && !/^[A-Z]{2}$/.test(value))) {
      const known = [...attributes].map(([name, { most }]) => `${name} (${most})`).join(', ');
      throw new SignerError(
        'wrong-usage',
        `subject: ${JSON.stringify(part)} is not one of ${known} = value of at most so many characters`,
      );
    }
    // RFC 5280 appendix A.1: countryName is a PrintableString of two.
    const encoded = type === 'C' ? der.printableString(value) : der.utf8String(value);
    return der.setOf(der.sequence(der.oid(attribute.oid), encoded));
  });
  return der.sequence(...parts);
}

/**
 * CertificationRequest (RFC 2986 section 4) that asks for a voucher-signing certificate.
 *
 * @param spki of a P-256 key
 * @param sign ECDSA with SHA-256 by that key, DER Ecdsa-Sig-Value
 */
export function certificationRequest(
  subject: Uint8Array,
  spki: Uint8Array,
  sign: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  const extensions = der.sequence(
    // keyUsage digitalSignature (RFC 5280 section 4.2.1.3): the first bit.
    extension('2.5.29.15', true, Uint8Array.of(0x03, 0x02, 0x07, 0x80)),
    extension('2.5.29.37', false, der.sequence(der.oid(oids.voucherSigning))),
  );
  // extensionRequest (RFC 2985 section 5.4.2).
  const attribute = der.sequence(der.oid('1.2.840.113549.1.9.14'), der.setOf(extensions));
  const info = der.sequence(der.integer(0), subject, spki, der.tlv(constructed(0), attribute));
  // ecdsa-with-SHA256 (RFC 5758 section 3.2).
  return der.sequence(info, der.sequence(der.oid('1.2.840.10045.4.3.2')), der.bitString(sign(info)));
}

const extension = (oid: string, critical: boolean, value: Uint8Array): Uint8Array =>
  der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
