/** A web CA with servers of its own, and the certificate the coordinator shows. */
import {
  type TestCertificate,
  type TestCertificateOptions,
  keyUsages,
  testCertificate,
} from '@mecai/voucher/testing';

const ca = { ca: true, keyUsage: keyUsages.keyCertSign };
export const serverName = 'www.example.org';

export const webRoot = testCertificate({ subject: 'Web Root', ...ca });
export const webIntermediate = testCertificate({ subject: 'Web Intermediate', issuer: webRoot, ...ca });

export const webLeaf = (rest: Partial<TestCertificateOptions> = {}): TestCertificate =>
  testCertificate({
    subject: serverName,
    issuer: webIntermediate,
    keyUsage: keyUsages.digitalSignature,
    dnsNames: [serverName],
    ...rest,
  });

/** Leaf first. */
export const chainOf = (leaf: TestCertificate): Uint8Array[] => [leaf.der, webIntermediate.der];

export const pemOf = (...certificates: readonly TestCertificate[]): string =>
  certificates
    .map(
      ({ der }) =>
        Buffer.from(der)
          .toString('base64')
          .match(/.{1,64}/g)!,
    )
    .map((lines) => `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`)
    .join('');

export const keyPemOf = ({ privateKey }: Pick<TestCertificate, 'privateKey'>): string | Buffer =>
  privateKey.export({ format: 'pem', type: 'pkcs8' });
