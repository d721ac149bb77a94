/** Certificate hierarchies for test networks. */
import { generateKeyPairSync } from 'node:crypto';
import {
  type TestCertificate,
  type TestCertificateOptions,
  type TestNames,
  keyUsages,
  profiledCertificate,
  purposes,
} from '@mecai/voucher/testing';

export { type TestCertificate, keyPem, pem } from '@mecai/voucher/testing';

let serial = 1;

/** A CA that says in the certificates it issues where its CRL is. */
export interface TestCa extends TestCertificate {
  readonly crlUrl?: string;
}

const issue = (
  options: TestCertificateOptions & { readonly issuer?: TestCa; readonly names?: TestNames },
): TestCertificate => profiledCertificate({ serial: ++serial, crlUrl: options.issuer?.crlUrl, ...options });

const ca = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };

export const rootCa = (subject: string, crlUrl?: string): TestCa => ({
  ...issue({ subject, ...ca }),
  ...(crlUrl !== undefined && { crlUrl }),
});

export const intermediateCa = (
  subject: string,
  issuer: TestCa,
  { forTls = true, crlUrl }: { forTls?: boolean; crlUrl?: string } = {},
): TestCa => ({
  ...issue({
    subject,
    issuer,
    ...ca,
    pathLength: 0,
    ...(forTls && { extendedKeyUsage: [purposes.server, purposes.client] }),
  }),
  ...(crlUrl !== undefined && { crlUrl }),
});

/** A TLS server certificate. Valid for 90 days around now, so that the validators' limits hold. */
export function serverCertificate(
  issuer: TestCa,
  names: TestNames,
  key: 'ecdsa' | 'rsa' | Pick<TestCertificate, 'publicKey' | 'privateKey'> = 'ecdsa',
  now = new Date(),
): TestCertificate {
  const made = () =>
    key === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pair = typeof key === 'string' ? made() : key;
  return issue({
    subject: names.dns?.[0] ?? names.ip?.[0] ?? 'server',
    issuer,
    key: pair,
    names,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [purposes.server],
    notBefore: new Date(now.getTime() - 86_400_000),
    notAfter: new Date(now.getTime() + 89 * 86_400_000),
  });
}

/** An X.509-SVID (SPIFFE) for both ends of internal connections. */
export const svid = (
  issuer: TestCertificate,
  id: string,
  names: Omit<TestNames, 'uri'> = {},
  validity: Pick<TestCertificateOptions, 'notBefore' | 'notAfter'> = {},
): TestCertificate =>
  issue({
    ...validity,
    subject: id.split('/').at(-1)!,
    issuer,
    names: { ...names, uri: [id] },
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [purposes.server, purposes.client],
  });
