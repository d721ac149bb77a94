/** Certificate hierarchies for test networks. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import { constructed, der, implicit } from '@mecai/pki';
import {
  type TestCertificate,
  type TestCertificateOptions,
  keyUsages,
  testCertificate,
  testExtension,
} from '@mecai/voucher/testing';

export type { TestCertificate } from '@mecai/voucher/testing';

const keyId = (spki: Uint8Array) => createHash('sha1').update(spki).digest();
const spkiOf = (key: TestCertificate['publicKey']) => key.export({ format: 'der', type: 'spki' });
let serial = 1;

interface Names {
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly uri?: readonly string[];
}

/** A CA that says in the certificates it issues where its CRL is. */
export interface TestCa extends TestCertificate {
  readonly crlUrl?: string;
}

interface IssueOptions extends TestCertificateOptions {
  readonly issuer?: TestCa;
  readonly names?: Names;
}

function issue({ extendedKeyUsage, ...options }: IssueOptions): TestCertificate {
  const key = options.key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = [
    // subjectKeyIdentifier and authorityKeyIdentifier (RFC 5280 sections 4.2.1.2 and 4.2.1.1).
    testExtension('2.5.29.14', false, der.octetString(keyId(spkiOf(key.publicKey)))),
    testExtension(
      '2.5.29.35',
      false,
      der.sequence(der.tlv(implicit(0), keyId(spkiOf((options.issuer ?? key).publicKey)))),
    ),
  ];
  if (extendedKeyUsage) {
    // Not critical, as BR 7.1.2.7.6 has it.
    extensions.push(
      testExtension('2.5.29.37', false, der.sequence(...extendedKeyUsage.map((one) => der.oid(one)))),
    );
  }
  if (options.issuer?.crlUrl !== undefined) {
    const name = der.tlv(implicit(6), Buffer.from(options.issuer.crlUrl));
    const point = der.tlv(constructed(0), der.tlv(constructed(0), name));
    extensions.push(testExtension('2.5.29.31', false, der.sequence(der.sequence(point))));
  }
  const { dns = [], ip = [], uri = [] } = options.names ?? {};
  if (dns.length + ip.length + uri.length > 0) {
    const names = [
      ...dns.map((name) => der.tlv(implicit(2), Buffer.from(name))),
      ...uri.map((name) => der.tlv(implicit(6), Buffer.from(name))),
      ...ip.map((address) => der.tlv(implicit(7), parseAddress(address))),
    ];
    extensions.push(testExtension('2.5.29.17', false, der.sequence(...names)));
  }
  return testCertificate({ serial: ++serial, ...options, key, extensions });
}

const ca = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };
const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';

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
    ...(forTls && { extendedKeyUsage: [serverAuth, clientAuth] }),
  }),
  ...(crlUrl !== undefined && { crlUrl }),
});

/** A TLS server certificate. Valid for 90 days around now, so that the validators' limits hold. */
export function serverCertificate(
  issuer: TestCa,
  names: Names,
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
    extendedKeyUsage: [serverAuth],
    notBefore: new Date(now.getTime() - 86_400_000),
    notAfter: new Date(now.getTime() + 89 * 86_400_000),
  });
}

/** An X.509-SVID (SPIFFE) for both ends of internal connections. */
export const svid = (issuer: TestCertificate, id: string, names: Omit<Names, 'uri'> = {}): TestCertificate =>
  issue({
    subject: id.split('/').at(-1)!,
    issuer,
    names: { ...names, uri: [id] },
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [serverAuth, clientAuth],
  });

export const pem = (...certificates: readonly TestCertificate[]): string =>
  certificates
    .map(
      ({ der }) =>
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(der)
          .toString('base64')
          .replace(/.{64}(?=.)/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    )
    .join('');

export const keyPem = ({ privateKey }: TestCertificate): string =>
  privateKey.export({ format: 'pem', type: 'pkcs8' });
