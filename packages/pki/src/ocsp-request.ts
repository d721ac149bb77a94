/**
 * OCSP requests (RFC 6960 section 4.1.1, in the profile of RFC 9654 and RFC 5019):
 *
 *   OCSPRequest ::= SEQUENCE { tbsRequest SEQUENCE { requestList SEQUENCE OF SEQUENCE { reqCert CertID },
 *     requestExtensions [2] EXPLICIT Extensions OPTIONAL } }
 *   CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash OCTET STRING, issuerKeyHash OCTET STRING, serialNumber }
 */
import { hash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { DerReader } from './der-reader.ts';
import { constructed, tags } from './der-tags.ts';
import * as der from './der-writer.ts';

/** Hash algorithms of a CertID. SHA-1 here only finds the certificate; every responder knows it. */
export const certIdHashes: Readonly<Record<string, 'sha1' | 'sha256'>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
};

export const nonceOid = '1.3.6.1.5.5.7.48.1.2';

/** The octets of subjectPublicKey, without tag, length and unused bits, as RFC 6960 section 4.1.1 hashes them. */
export function publicKeyBits(spki: Uint8Array): Uint8Array {
  const reader = DerReader.whole(spki);
  reader.raw(tags.sequence);
  return reader.bitString();
}

export interface CertIdHashes {
  readonly name: Uint8Array;
  readonly key: Uint8Array;
}

/** issuerNameHash and issuerKeyHash for certificates of this issuer. */
export function issuerHashes(issuer: Certificate, algorithm: 'sha1' | 'sha256'): CertIdHashes {
  const digest = (bytes: Uint8Array) => hash(algorithm, bytes, 'buffer');
  return { name: digest(issuer.subject), key: digest(publicKeyBits(issuer.spki)) };
}

/** `nonce`: 16 to 32 random octets (RFC 9654 section 2.1), or none. */
export function encodeOcspRequest(
  certificate: Certificate,
  issuer: Certificate,
  nonce?: Uint8Array,
): Uint8Array {
  const hashes = issuerHashes(issuer, 'sha1');
  const certId = der.sequence(
    der.sequence(der.oid('1.3.14.3.2.26'), der.nullValue()),
    der.octetString(hashes.name),
    der.octetString(hashes.key),
    der.tlv(tags.integer, certificate.serial),
  );
  const extensions =
    nonce && der.sequence(der.sequence(der.oid(nonceOid), der.octetString(der.octetString(nonce))));
  return der.sequence(
    der.sequence(
      der.sequence(der.sequence(certId)),
      ...(extensions ? [der.tlv(constructed(2), extensions)] : []),
    ),
  );
}
