/** Certificates for the signer's tests, each with what its profile asks for. */
import { type TestCertificate, keyUsages, profiledCertificate, purposes } from '@mecai/voucher/testing';

export { keyPem, pem } from '@mecai/voucher/testing';

export const testCa = (subject: string, issuer?: TestCertificate): TestCertificate =>
  profiledCertificate({
    subject,
    ca: true,
    keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign,
    ...(issuer && { issuer, pathLength: 0, extendedKeyUsage: [purposes.server, purposes.client] }),
  });

/** For a TLS server; good for 90 days from ten days before `now`. */
export const serverCertificate = (
  issuer: TestCertificate,
  dns: readonly string[],
  now: Date,
  serial = 1,
): TestCertificate =>
  profiledCertificate({
    subject: dns[0] ?? 'server',
    issuer,
    serial,
    names: { dns },
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [purposes.server],
    notBefore: new Date(now.getTime() - 10 * 86_400_000),
    notAfter: new Date(now.getTime() + 80 * 86_400_000),
  });

/** An X.509-SVID; with two URIs it is none. */
export const svid = (issuer: TestCertificate, ...uri: readonly string[]): TestCertificate =>
  profiledCertificate({
    subject: 'workload',
    issuer,
    names: { uri },
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [purposes.server, purposes.client],
  });
