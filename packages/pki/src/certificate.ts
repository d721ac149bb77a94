/** X.509 certificates (RFC 5280 section 4.1), read strictly and only as far as asked. */
import { DerReader } from './der-reader.ts';
import { constructed, implicit, tags } from './der-tags.ts';
import { PkiError } from './error.ts';
import type { PresentedNames } from './host-name.ts';

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** All views point into `der`. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly version: 1 | 3;
  readonly tbs: Uint8Array;
  /** Content octets of serialNumber, two's complement. */
  readonly serial: Uint8Array;
  /** AlgorithmIdentifier, whole TLV; the same inside and outside (RFC 5280 section 4.1.1.2). */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** Name, whole TLV. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, whole TLV. */
  readonly spki: Uint8Array;
  readonly extensions: readonly Extension[];
}

export type SubjectAltNames = PresentedNames;

/** Larger ones exist only to be hostile: a TLS Certificate message holds 2^24 octets. */
const certificateOctets = 262_144;

/**
 * Certificate  ::=  SEQUENCE  { tbsCertificate, signatureAlgorithm, signatureValue }
 * TBSCertificate  ::=  SEQUENCE  { version [0], serialNumber, signature, issuer, validity, subject,
 *   subjectPublicKeyInfo, issuerUniqueID [1] OPTIONAL, subjectUniqueID [2] OPTIONAL, extensions [3] }
 */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > certificateOctets)
    throw new PkiError('limit', `a certificate of ${bytes.length} octets`);
  const outer = DerReader.whole(bytes);
  const tbs = outer.raw(tags.sequence);
  const signatureAlgorithm = outer.raw(tags.sequence);
  const signature = outer.bitString();
  outer.end();

  const reader = DerReader.whole(tbs);
  const version = reader.optional(constructed(0));
  if (version) {
    if (version.integer() !== 2) throw new PkiError('malformed', 'certificate version');
    version.end();
  }
  const serial = reader.integerBytes();
  const inner = reader.raw(tags.sequence);
  if (Buffer.compare(inner, signatureAlgorithm) !== 0) {
    throw new PkiError('malformed', 'signature algorithms differ inside and outside');
  }
  const issuer = reader.raw(tags.sequence);
  const validity = reader.sequence();
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.end();
  const subject = reader.raw(tags.sequence);
  const spki = reader.raw(tags.sequence);
  reader.optional(implicit(1));
  reader.optional(implicit(2));
  const extensions = version ? parseExtensions(reader.optional(constructed(3))) : [];
  reader.end();
  return {
    der: bytes,
    version: version ? 3 : 1,
    tbs,
    serial,
    signatureAlgorithm,
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions,
  };
}

function parseExtensions(reader: DerReader | undefined): Extension[] {
  if (!reader) return [];
  const list = reader.sequence();
  reader.end();
  const extensions: Extension[] = [];
  const seen = new Set<string>();
  while (!list.atEnd) {
    const one = list.sequence();
    const oid = one.oid();
    const critical = one.peek() === tags.boolean ? one.boolean() : false;
    const value = one.octetString();
    one.end();
    if (seen.has(oid)) throw new PkiError('malformed', `extension ${oid} twice`);
    seen.add(oid);
    extensions.push({ oid, critical, value });
  }
  return extensions;
}

export const findExtension = (certificate: Certificate, oid: string): Extension | undefined =>
  certificate.extensions.find((extension) => extension.oid === oid);

/** subjectAltName (RFC 5280 section 4.2.1.6); other kinds of name are passed over. */
export function subjectAltNames(certificate: Certificate): SubjectAltNames {
  const extension = findExtension(certificate, '2.5.29.17');
  const dns: string[] = [];
  const ip: Uint8Array[] = [];
  if (extension) {
    const names = DerReader.whole(extension.value);
    while (!names.atEnd) {
      if (names.peek() === implicit(2)) dns.push(names.ia5String(implicit(2)).toLowerCase());
      else if (names.peek() === implicit(7)) {
        const address = names.octetString(implicit(7));
        if (address.length !== 4 && address.length !== 16) throw new PkiError('malformed', 'iPAddress');
        ip.push(address);
      } else names.raw();
    }
  }
  return { dns, ip };
}
