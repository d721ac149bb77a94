/** OCSP responses for tests, signed by the issuer itself. */
import { sign } from 'node:crypto';
import { constructed, der, implicit } from '../index.ts';
import { issuerHashes } from '../ocsp-request.ts';
import { ecdsaWithSha256, extension, type Issued, keyIdentifier, now } from './issue.ts';

/** RFC 6962 section 3.3 */
const sctOid = '1.3.6.1.4.1.11129.2.4.5';

export interface OcspShape {
  /** Whose hashes the CertID has, instead of the signer's. */
  readonly about?: Issued;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | undefined;
  /** SignedCertificateTimestampList for the single response's extensions. */
  readonly scts?: Uint8Array;
}

/** `good`, by SHA-1 identifiers, the responder named by key. */
export function makeOcspResponse(certificate: Issued, signer: Issued, shape: OcspShape = {}): Uint8Array {
  const hashes = issuerHashes((shape.about ?? signer).certificate, 'sha1');
  const thisUpdate = shape.thisUpdate ?? now;
  const nextUpdate = 'nextUpdate' in shape ? shape.nextUpdate : new Date(thisUpdate.getTime() + 86_400_000);
  const certId = der.sequence(
    der.sequence(der.oid('1.3.14.3.2.26'), der.nullValue()),
    der.octetString(hashes.name),
    der.octetString(hashes.key),
    der.tlv(2, certificate.certificate.serial),
  );
  const single = der.sequence(
    certId,
    der.tlv(implicit(0)),
    der.generalizedTime(thisUpdate),
    ...(nextUpdate ? [der.tlv(constructed(0), der.generalizedTime(nextUpdate))] : []),
    ...(shape.scts
      ? [der.tlv(constructed(1), der.sequence(extension(sctOid, der.octetString(shape.scts))))]
      : []),
  );
  const responder = der.tlv(constructed(2), der.octetString(keyIdentifier(bitsOf(signer.key.spki))));
  const data = der.sequence(responder, der.generalizedTime(thisUpdate), der.sequence(single));
  const signature = sign('sha256', data, signer.key.privateKey);
  const basic = der.sequence(data, ecdsaWithSha256, der.bitString(signature));
  const bytes = der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octetString(basic));
  return der.sequence(der.enumerated(0), der.tlv(constructed(0), bytes));
}

/** The point at the end of a P-256 SubjectPublicKeyInfo. */
const bitsOf = (spki: Uint8Array): Uint8Array => spki.subarray(-65);
