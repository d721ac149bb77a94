/** Certificates for the signer's tests, each with what its profile asks for. */
import { createHash } from 'node:crypto';
import { der, implicit } from '@mecai/pki';
import {
  type TestCertificate,
  type TestCertificateOptions,
  keyUsages,
  testCertificate,
  testExtension,
  testKey,
} from '@mecai/voucher/testing';
import { toPem } from '../certificates.ts';

const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' };

interface Extras {
  readonly purposes?: readonly string[];
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
}

function issue(options: TestCertificateOptions, extras: Extras = {}): TestCertificate {
  const key = options.key ?? testKey();
  const keyId = ({ publicKey }: Pick<TestCertificate, 'publicKey'>) =>
    createHash('sha1')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest();
  const names = [
    ...(extras.dns ?? []).map((name) => der.tlv(implicit(2), Buffer.from(name))),
    ...(extras.uris ?? []).map((name) => der.tlv(implicit(6), Buffer.from(name))),
  ];
  const issuer = options.issuer ?? key;
  const extensions = [
    testExtension('2.5.29.14', false, der.octetString(keyId(key))),
    testExtension('2.5.29.35', false, der.sequence(der.tlv(implicit(0), keyId(issuer)))),
  ];
  if (names.length > 0) extensions.push(testExtension('2.5.29.17', false, der.sequence(...names)));
  if (extras.purposes) {
    const value = der.sequence(...extras.purposes.map((one) => der.oid(one)));
    extensions.push(testExtension('2.5.29.37', false, value));
  }
  return testCertificate({ ...options, key, extensions });
}

export const testCa = (subject: string, issuer?: TestCertificate): TestCertificate =>
  issue(
    {
      subject,
      ...(issuer && { issuer, pathLength: 0 }),
      ca: true,
      keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign,
    },
    issuer && { purposes: [purposes.server, purposes.client] },
  );

/** For a TLS server; good for 90 days from ten days before `now`. */
export const serverCertificate = (
  issuer: TestCertificate,
  dns: readonly string[],
  now: Date,
  serial = 1,
): TestCertificate =>
  issue(
    {
      subject: dns[0] ?? 'server',
      issuer,
      serial,
      keyUsage: keyUsages.digitalSignature,
      notBefore: new Date(now.getTime() - 10 * 86_400_000),
      notAfter: new Date(now.getTime() + 80 * 86_400_000),
    },
    { dns, purposes: [purposes.server] },
  );

/** An X.509-SVID; with two URIs it is none. */
export const svid = (issuer: TestCertificate, ...uris: readonly string[]): TestCertificate =>
  issue(
    { subject: 'workload', issuer, keyUsage: keyUsages.digitalSignature },
    { uris, purposes: [purposes.server, purposes.client] },
  );

export const pem = (...certificates: readonly TestCertificate[]): string =>
  certificates.map(({ der: bytes }) => toPem('CERTIFICATE', bytes)).join('');

export const keyPem = ({ privateKey }: TestCertificate): string =>
  privateKey.export({ format: 'pem', type: 'pkcs8' });
