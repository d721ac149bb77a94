/** VAs whose certificates are not what they should be. */
import { type CheckCode } from '@mecai/client';
import { oids } from '@mecai/voucher';
import { keyUsages, testCertificate, testExtension, type TestVa } from '@mecai/voucher/testing';
import { der } from '@mecai/pki';
import { after, ca, vaUnder } from './world.ts';
import { issue, type Vector } from './base.ts';

/** Certificates of VAs that are not what they should be; each VA has a root of its own, which the list has. */
export const certificateVas = {
  'eku-absent': vaUnder((root) => ({ issuer: root, above: [], certificate: { extendedKeyUsage: [] } })),
  'eku-two': vaUnder((root) => ({
    issuer: root,
    above: [],
    certificate: { extendedKeyUsage: [oids.voucherSigning, '1.3.6.1.5.5.7.3.1'] },
  })),
  'key-usage-encipherment': vaUnder((root) => ({ issuer: root, above: [], certificate: { keyUsage: 0x20 } })),
  'is-a-ca': vaUnder((root) => ({ issuer: root, above: [], certificate: { ca: true } })),
  'critical-extension': vaUnder((root) => ({
    issuer: root,
    above: [],
    certificate: { extensions: [testExtension('1.2.3', true, der.nullValue())] },
  })),
  expired: vaUnder((root) => ({ issuer: root, above: [], certificate: { notAfter: after(-1) } })),
  'not-yet-valid': vaUnder((root) => ({
    issuer: root,
    above: [],
    certificate: { notBefore: after(24 * 30) },
  })),
  'below-no-ca': underIntermediate({ keyUsage: keyUsages.keyCertSign }),
  'below-an-expired-ca': underIntermediate({ ...ca, notAfter: after(-1) }),
  'below-a-ca-that-must-not-sign': underIntermediate({ ...ca, keyUsage: keyUsages.cRLSign }),
  'below-a-ca-for-servers': underIntermediate({ ...ca, extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }),
  'path-too-long': vaUnder((root) => {
    const first = testCertificate({ subject: 'First', issuer: root, pathLength: 0, ...ca });
    const second = testCertificate({ subject: 'Second', issuer: first, ...ca });
    return { issuer: second, above: [second, first] };
  }),
} as const;

function underIntermediate(options: Partial<Parameters<typeof testCertificate>[0]>): TestVa {
  return vaUnder((root) => {
    const issuer = testCertificate({ subject: 'Intermediate', issuer: root, ...options });
    return { issuer, above: [issuer] };
  });
}

const certificateCodes: Readonly<Record<keyof typeof certificateVas, CheckCode>> = {
  'eku-absent': 'not-a-voucher-certificate',
  'eku-two': 'not-a-voucher-certificate',
  'key-usage-encipherment': 'not-a-voucher-certificate',
  'is-a-ca': 'not-a-voucher-certificate',
  'critical-extension': 'not-a-voucher-certificate',
  expired: 'va-certificate-expired',
  'not-yet-valid': 'va-certificate-expired',
  'below-no-ca': 'untrusted-va',
  'below-an-expired-ca': 'va-certificate-expired',
  'below-a-ca-that-must-not-sign': 'untrusted-va',
  'below-a-ca-for-servers': 'untrusted-va',
  'path-too-long': 'untrusted-va',
};
export const certificates: readonly Vector[] = Object.entries(certificateVas).map(([name, by]) => ({
  name: `va-certificate-${name}`,
  voucher: issue({}, by, []),
  vaStatus: 'if-known',
  expected: [certificateCodes[name as keyof typeof certificateVas]],
}));
