/** Test certificates with all that the profiles of TLS servers, of their CAs and of SVIDs ask for. */
import { parseAddress } from '@mecai/addresses';
import { der, implicit, toPem } from '@mecai/pki';
import { dnsName, ext, uriName } from '@mecai/pki/testing';
import {
  type TestCertificate,
  type TestCertificateOptions,
  testCertificate,
  testKey,
} from './testing-certificate.ts';

export const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;

/** For subjectAltName. */
export interface TestNames {
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly uri?: readonly string[];
}

/** Key identifiers are always there; the purposes are not critical, as BR 7.1.2.7.6 has it. */
export function profiledCertificate({
  names: { dns = [], ip = [], uri = [] } = {},
  extendedKeyUsage,
  extensions = [],
  ...options
}: TestCertificateOptions & { readonly names?: TestNames }): TestCertificate {
  const key = options.key ?? testKey();
  const spkiOf = ({ publicKey }: Pick<TestCertificate, 'publicKey'>) =>
    publicKey.export({ format: 'der', type: 'spki' });
  const names = [
    ...dns.map(dnsName),
    ...uri.map(uriName),
    ...ip.map((address) => der.tlv(implicit(7), parseAddress(address))),
  ];
  return testCertificate({
    ...options,
    key,
    extensions: [
      ext.subjectKeyIdentifier(spkiOf(key)),
      ext.authorityKeyIdentifier(spkiOf(options.issuer ?? key)),
      ...(extendedKeyUsage ? [ext.extKeyUsage(...extendedKeyUsage)] : []),
      ...(names.length > 0 ? [ext.subjectAltName(names)] : []),
      ...extensions,
    ],
  });
}

export const pem = (...certificates: readonly Pick<TestCertificate, 'der'>[]): string =>
  certificates.map(({ der: bytes }) => toPem(bytes, 'CERTIFICATE')).join('');

export const keyPem = ({ privateKey }: Pick<TestCertificate, 'privateKey'>): string =>
  privateKey.export({ format: 'pem', type: 'pkcs8' });
