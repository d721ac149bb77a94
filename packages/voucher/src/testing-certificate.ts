/** Certificates for tests, with the extensions that are asked for and no others. */
import { constructed, der, extensionOids } from '@mecai/pki';
import { commonName, dnsName, ext, extension } from '@mecai/pki/testing';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { oids } from './oids.ts';

export interface TestKey {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const testKey = (namedCurve: 'P-256' | 'P-384' | 'P-521' = 'P-256'): TestKey =>
  generateKeyPairSync('ec', { namedCurve });

export interface TestCertificateOptions {
  readonly subject: string;
  /** Itself, if absent. */
  readonly issuer?: TestCertificate;
  readonly key?: TestKey;
  /** Content octet of serialNumber, 1 by default. */
  readonly serial?: number;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Absent: no basicConstraints. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** First octet of keyUsage; absent: no keyUsage. */
  readonly keyUsage?: number;
  readonly extendedKeyUsage?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** Where the CRL is. */
  readonly crlUrl?: string | undefined;
  /** Further extensions, whole TLVs. */
  readonly extensions?: readonly Uint8Array[];
}

export interface TestCertificate extends TestKey {
  readonly der: Uint8Array;
  readonly subject: string;
}

/** keyUsage bits (RFC 5280 section 4.2.1.3). */
export const keyUsages = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;

export const testExtension = (oid: string, critical: boolean, value: Uint8Array): Uint8Array =>
  extension(oid, value, critical);

/** Signed with the issuer's key: ECDSA with SHA-256, or with SHA-384 if that key is on P-384. */
export function testCertificate(options: TestCertificateOptions): TestCertificate {
  const { subject, ca, pathLength, keyUsage, extendedKeyUsage, dnsNames } = options;
  const key = options.key ?? testKey();
  const issuer = options.issuer ?? { subject, privateKey: key.privateKey };
  const p384 = issuer.privateKey.asymmetricKeyDetails?.namedCurve === 'secp384r1';
  const algorithm = der.sequence(der.oid(p384 ? oids.ecdsaWithSha384 : oids.ecdsaWithSha256));
  const extensions = [...(options.extensions ?? [])];
  if (ca !== undefined) extensions.push(ext.basicConstraints(ca, pathLength));
  if (keyUsage !== undefined) {
    const unused = 31 - Math.clz32(keyUsage & -keyUsage);
    extensions.push(
      testExtension(extensionOids.keyUsage, true, der.tlv(0x03, Uint8Array.of(unused, keyUsage))),
    );
  }
  if (extendedKeyUsage) {
    const value = der.sequence(...extendedKeyUsage.map((one) => der.oid(one)));
    extensions.push(testExtension(extensionOids.extKeyUsage, true, value));
  }
  if (dnsNames) extensions.push(ext.subjectAltName(dnsNames.map(dnsName)));
  if (options.crlUrl !== undefined) extensions.push(ext.crlDistributionPoint(options.crlUrl));
  const tbs = der.sequence(
    der.tlv(constructed(0), der.integer(2)),
    der.integer(options.serial ?? 1),
    algorithm,
    commonName(issuer.subject),
    der.sequence(
      der.time(options.notBefore ?? new Date('2026-01-01T00:00:00Z')),
      der.time(options.notAfter ?? new Date('2028-01-01T00:00:00Z')),
    ),
    commonName(subject),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der.tlv(constructed(3), der.sequence(...extensions))] : []),
  );
  const signature = sign(p384 ? 'sha384' : 'sha256', tbs, issuer.privateKey);
  return { ...key, subject, der: der.sequence(tbs, algorithm, der.bitString(signature)) };
}
