/** Certificates and vouchers for tests: a VA with its hierarchy, made from nothing but keys and times. */
import { der, type RevocationDocument } from '@mecai/pki';
import { hash, sign } from 'node:crypto';
import { voucherSigner, type VoucherSigner } from './cms-encoder.ts';
import { oids } from './oids.ts';
import {
  keyUsages,
  type TestCertificate,
  testCertificate,
  type TestCertificateOptions,
  testKey,
} from './testing-certificate.ts';
import type { Voucher } from './voucher.ts';

export { type CrlOptions, type Revoked, testCrl } from './testing-crl.ts';
export * from './der-tree.ts';
export * from './testing-certificate.ts';
export { keyPem, pem, profiledCertificate, purposes, type TestNames } from './testing-profile.ts';
export { testOcsp, type TestOcspOptions } from './testing-ocsp.ts';

export interface TestVa {
  readonly root: TestCertificate;
  readonly intermediate: TestCertificate;
  readonly certificate: TestCertificate;
  readonly signer: VoucherSigner;
  /** The signed voucher; `signingTime` is its producedAt by default. */
  issue(voucher: Voucher, signingTime?: Date, revocation?: readonly RevocationDocument[]): Uint8Array;
}

/** Root, intermediate and VA certificate. `va` changes the last, for tests of what must not be accepted. */
export function testVa(curve: 'P-256' | 'P-384' = 'P-256', va: Partial<TestCertificateOptions> = {}): TestVa {
  const ca = { ca: true, keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign };
  const root = testCertificate({ subject: 'Test VA Root', ...ca });
  const intermediate = testCertificate({
    subject: 'Test VA Intermediate',
    issuer: root,
    pathLength: 0,
    ...ca,
  });
  const certificate = testCertificate({
    subject: 'Test Voucher Authority',
    issuer: intermediate,
    key: testKey(curve),
    serial: 7,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: [oids.voucherSigning],
    ...va,
  });
  const signer = voucherSigner({ certificate: certificate.der, intermediates: [intermediate.der] });
  return { root, intermediate, certificate, signer, issue };

  function issue(
    voucher: Voucher,
    signingTime: Date = voucher.producedAt,
    revocation: readonly RevocationDocument[] = [],
  ): Uint8Array {
    const prepared = signer.prepare(voucher, signingTime);
    const signature = sign(prepared.digestAlgorithm, prepared.toBeSigned, certificate.privateKey);
    return prepared.finish(signature, revocation);
  }
}

/** A voucher with every field in use except extensions: two addresses, OCSP and CRL, six perspectives. */
export const testVoucher: Voucher = {
  serial: Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
  ipv4: Uint8Array.of(192, 0, 2, 1),
  ipv6: Buffer.from('20010db8000000000000000000000001', 'hex'),
  port: 443,
  leaf: hash('sha256', 'leaf', 'buffer'),
  intermediates: [hash('sha256', 'first', 'buffer'), hash('sha256', 'second', 'buffer')],
  status: [
    { certificate: 0, ocsp: der.sequence(der.enumerated(0), der.octetString(new Uint8Array(200))) },
    {
      certificate: 1,
      crl: {
        number: 4711n,
        thisUpdate: new Date('2026-11-21T00:00:00Z'),
        nextUpdate: new Date('2026-11-28T00:00:00Z'),
        digest: hash('sha256', 'crl', 'buffer'),
      },
    },
  ],
  producedAt: new Date('2026-11-22T12:00:00Z'),
  notAfter: new Date('2026-11-23T12:00:00Z'),
  trustContexts: ['CHROME', 'MOZ'],
  quorum: { asked: 6, matches: 4, regions: 2, networks: 2, kilometres: 500, intermediates: true },
  directoryVersion: 12,
  perspectives: [
    { country: 'BR', rir: 'lacnic', asn: 64_501, ipv4: 'match', ipv6: 'inconclusive' },
    { country: 'DE', rir: 'ripencc', asn: 64_496, ipv4: 'match', ipv6: 'match' },
    { country: 'JP', rir: 'apnic', asn: 64_499, ipv4: 'match', ipv6: 'match' },
    { country: 'SG', rir: 'apnic', asn: 64_500, ipv4: 'mismatch', ipv6: 'match' },
    { country: 'US', rir: 'arin', asn: 64_498, ipv4: 'match', ipv6: 'match' },
    { country: 'ZA', rir: 'afrinic', asn: 4_200_000_000, ipv4: 'match', ipv6: 'match' },
  ],
};
