/** CRLs for tests. */
import { createHash, sign } from 'node:crypto';
import { constructed, der, extensionOids, implicit, parseCertificate } from '@mecai/pki';
import type { TestCertificate } from './testing.ts';

export interface Revoked {
  readonly certificate: Pick<TestCertificate, 'der'>;
  /** CRLReason (RFC 5280 section 5.3.1). */
  readonly reason?: number;
}

export interface CrlOptions {
  readonly number: number;
  readonly revoked?: readonly Revoked[];
  readonly thisUpdate?: Date;
  /** A week after thisUpdate by default. */
  readonly nextUpdate?: Date;
  /** Entries of certificates that nobody has, to make it large. */
  readonly padding?: number;
}

const week = 7 * 86_400_000;

/** A complete CRL (RFC 5280 section 5.1), ECDSA with SHA-256. */
export function testCrl(ca: TestCertificate, options: CrlOptions): Uint8Array {
  const { number, revoked = [], thisUpdate = new Date(Date.now() - 60_000), padding = 0 } = options;
  const nextUpdate = options.nextUpdate ?? new Date(thisUpdate.getTime() + week);
  const algorithm = der.sequence(der.oid('1.2.840.10045.4.3.2'));
  const since = der.time(thisUpdate);
  const entries = [
    ...revoked.map(({ certificate, reason }) => {
      const { serial } = parseCertificate(certificate.der);
      const reasons =
        reason === undefined ? [] : [extension(extensionOids.reasonCode, der.enumerated(reason))];
      const extensions = reasons.length > 0 ? [der.sequence(...reasons)] : [];
      return der.sequence(der.unsignedInteger(serial), since, ...extensions);
    }),
    // Serial numbers of 16 octets, as CAs use them; none is that of a test certificate.
    ...Array.from({ length: padding }, (_, i) =>
      der.sequence(der.integer((0x5an << 120n) + BigInt(i) * 0x1_0000_0001n), since),
    ),
  ];
  const spki = ca.publicKey.export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha1').update(spki).digest();
  const extensions = der.sequence(
    extension(extensionOids.authorityKeyIdentifier, der.sequence(der.tlv(implicit(0), keyId))),
    extension(extensionOids.crlNumber, der.integer(number)),
  );
  const tbs = der.sequence(
    der.integer(1),
    algorithm,
    parseCertificate(ca.der).subject,
    since,
    der.time(nextUpdate),
    ...(entries.length > 0 ? [der.sequence(Buffer.concat(entries))] : []),
    der.tlv(constructed(0), extensions),
  );
  return der.sequence(tbs, algorithm, der.bitString(sign('sha256', tbs, ca.privateKey)));
}

const extension = (oid: string, value: Uint8Array): Uint8Array =>
  der.sequence(der.oid(oid), der.octetString(value));
