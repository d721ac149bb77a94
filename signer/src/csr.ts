import { constructed, der } from '@mecai/pki';
import { oids } from '@mecai/voucher';

// RFC 4519 section 2.
const attributes: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
};

/** `C=DE,O=Example CA,CN=Example VA` into a Name, in the order written. No escapes: a comma ends a value. */
export function parseSubject(text: string): Uint8Array {
  const parts = text.split(',').map((part) => {
    const [, type, value] = /^\s*([A-Z]+)=(.*\S)\s*$/.exec(part) ?? [];
    const attribute = attributes[type ?? ''];
    if (attribute === undefined || value === undefined) {
      throw new TypeError(
        `subject: ${JSON.stringify(part)} is not one of ${Object.keys(attributes).join(', ')}=value`,
      );
    }
    // RFC 5280 appendix A.1: countryName is a PrintableString of two.
    const encoded = type === 'C' ? der.printableString(value) : der.utf8String(value);
    return der.setOf(der.sequence(der.oid(attribute), encoded));
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
  const extension = (oid: string, critical: boolean, value: Uint8Array) =>
    der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
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
