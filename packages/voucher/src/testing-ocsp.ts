/** OCSP responses for tests, signed by the issuer itself (RFC 6960 section 4.2.1). */
import { constructed, der, implicit, parseCertificate } from '@mecai/pki';
import { createHash, createPublicKey, sign } from 'node:crypto';
import { oids } from './oids.ts';
import type { TestCertificate } from './testing.ts';

export interface TestOcspOptions {
  readonly about: TestCertificate;
  readonly issuer: TestCertificate;
  /** Default `good`. */
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** SignedCertificateTimestampList (RFC 6962 section 3.3). */
  readonly scts?: Uint8Array;
  /** Sent along in `certs`. */
  readonly certificates?: readonly Uint8Array[];
}

const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest();

/** Content of the BIT STRING in an uncompressed P-256 or P-384 key. */
function keyBits(issuer: TestCertificate): Uint8Array {
  const { x, y } = createPublicKey(issuer.privateKey).export({ format: 'jwk' }) as { x: string; y: string };
  return Buffer.concat([Uint8Array.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
}

const sctExtension = (list: Uint8Array) =>
  der.sequence(der.oid('1.3.6.1.4.1.11129.2.4.5'), der.octetString(der.octetString(list)));

export function testOcsp(options: TestOcspOptions): Uint8Array {
  const { about, issuer, status = 'good', thisUpdate, nextUpdate, certificates, scts } = options;
  const { serial } = parseCertificate(about.der);
  const { subject } = parseCertificate(issuer.der);
  const certId = der.sequence(
    der.sequence(der.oid('1.3.14.3.2.26'), der.nullValue()),
    der.octetString(sha1(subject)),
    der.octetString(sha1(keyBits(issuer))),
    der.tlv(0x02, serial),
  );
  const certStatus = {
    good: der.tlv(implicit(0)),
    revoked: der.tlv(constructed(1), der.generalizedTime(thisUpdate)),
    unknown: der.tlv(implicit(2)),
  }[status];
  const tbs = der.sequence(
    der.tlv(constructed(1), subject),
    der.generalizedTime(thisUpdate),
    der.sequence(
      der.sequence(
        certId,
        certStatus,
        der.generalizedTime(thisUpdate),
        der.tlv(constructed(0), der.generalizedTime(nextUpdate)),
        ...(scts ? [der.tlv(constructed(1), der.sequence(sctExtension(scts)))] : []),
      ),
    ),
  );
  const p384 = issuer.privateKey.asymmetricKeyDetails?.namedCurve === 'secp384r1';
  const signature = sign(p384 ? 'sha384' : 'sha256', tbs, issuer.privateKey);
  const algorithm = der.sequence(der.oid(p384 ? oids.ecdsaWithSha384 : oids.ecdsaWithSha256));
  const certs = certificates ? [der.tlv(constructed(0), der.sequence(...certificates))] : [];
  const basic = der.sequence(tbs, algorithm, der.bitString(signature), ...certs);
  return der.sequence(
    der.enumerated(0),
    der.tlv(constructed(0), der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octetString(basic))),
  );
}
