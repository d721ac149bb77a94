import { parseCertificate } from '@mecai/pki';
import { testCrl, testOcsp, testVa, testVoucher } from '@mecai/voucher/testing';
import { expect, test } from 'vitest';
import {
  countryText,
  describePerspective,
  describeRevocation,
  describeVaStatus,
  describeVoucher,
} from './describe.ts';

test('a voucher in words', () => {
  const signer = parseCertificate(testVa().certificate.der);
  expect(describeVoucher(testVoucher, signer).split('\n')).toEqual([
    'vouched by     CN=Test Voucher Authority',
    'for            192.0.2.1 and 2001:db8::1, port 443',
    `certificate    SHA-256 ${hex(testVoucher.leaf)}`,
    `intermediate 1 SHA-256 ${hex(testVoucher.intermediates[0]!)}`,
    `intermediate 2 SHA-256 ${hex(testVoucher.intermediates[1]!)}`,
    'produced       2026-11-22 12:00:00 UTC',
    'good until     2026-11-23 12:00:00 UTC',
    'trusted in     CHROME, MOZ',
    'quorum         at least 4 of 6 perspectives, from at least 2 regions and 2 networks, 500 km apart',
    'perspectives   version 12 of the directory',
    'revocation     certificate: OCSP response of 209 octets',
    'revocation     intermediate 1: CRL number 4711 of 2026-11-21 00:00:00 UTC, next 2026-11-28 00:00:00 UTC',
    'serial         00112233445566778899aabbccddeeff',
    '4 of 6 perspectives shown agree:',
    '  Brazil (LACNIC, AS64501): match over IPv4, inconclusive over IPv6',
    '  Germany (RIPE NCC, AS64496): match',
    '  Japan (APNIC, AS64499): match',
    '  Singapore (APNIC, AS64500): mismatch over IPv4, match over IPv6',
    '  South Africa (AFRINIC, AS4200000000): match',
    '  United States (ARIN, AS64498): match',
    'The certificate and its intermediates had to be the same everywhere.',
  ]);
});

test('a voucher with the least in it', () => {
  const { ipv6: _, ...rest } = testVoucher;
  const text = describeVoucher({
    ...rest,
    intermediates: [],
    status: [],
    quorum: { asked: 1, matches: 1, regions: 1, networks: 1, kilometres: 0, intermediates: false },
    perspectives: [{ country: 'DE', rir: 'ripencc', asn: 64_496, ipv4: 'match' }],
    extensions: [{ oid: '1.3.6', critical: false, value: new Uint8Array(1) }],
  });
  expect(text).toContain('for            192.0.2.1, port 443\n');
  expect(text).toContain('at least 1 of 1 perspectives, from at least 1 region and 1 network, 0 km apart');
  expect(text).toContain('no status included');
  expect(text).toContain('1 of 1 perspective shown agree:\n  Germany (RIPE NCC, AS64496): match\n');
  expect(text).toContain('extension      1.3.6, not understood');
  expect(text).toContain('Only the server certificate itself had to be the same everywhere.');
  expect(text).not.toContain('vouched by');
});

test('what a voucher carries about the VA', () => {
  const { certificate, intermediate, root } = testVa();
  const thisUpdate = new Date('2026-11-22T10:00:00Z');
  const nextUpdate = new Date('2026-11-23T10:00:00Z');
  const ocsp = testOcsp({ about: certificate, issuer: intermediate, thisUpdate, nextUpdate });
  expect(describeRevocation({ kind: 'ocsp', der: ocsp })).toBe(
    'OCSP response of 2026-11-22 10:00:00 UTC, next 2026-11-23 10:00:00 UTC: good',
  );
  const crl = testCrl(root, { number: 4, thisUpdate, nextUpdate });
  expect(describeRevocation({ kind: 'crl', der: crl })).toBe(
    'CRL number 4 of 2026-11-22 10:00:00 UTC, next 2026-11-23 10:00:00 UTC',
  );
  expect(describeRevocation({ kind: 'crl', der: ocsp })).toMatch(/^CRL that cannot be read: /);
  expect(describeVaStatus({ status: 'good', certificates: [], thisUpdate, nextUpdate })).toBe(
    'not revoked as of 2026-11-22 10:00:00 UTC, next 2026-11-23 10:00:00 UTC',
  );
  expect(describeVaStatus({ status: 'unknown', certificates: [] })).toBe('not known whether it is revoked');
});

test('outcomes of a request', () => {
  const place = { country: 'US', rir: 'arin', asn: 64_498 } as const;
  const timeout = { verdict: 'inconclusive', code: 'timeout-connect' } as const;
  expect(describePerspective({ ...place, ipv4: timeout })).toBe(
    'United States (ARIN, AS64498): inconclusive (timeout-connect)',
  );
  expect(describePerspective({ ...place, ipv4: { verdict: 'match' }, ipv6: timeout })).toBe(
    'United States (ARIN, AS64498): match over IPv4, inconclusive (timeout-connect) over IPv6',
  );
  expect(describePerspective(place)).toBe('United States (ARIN, AS64498): not asked');
});

test('a country code that nobody has assigned is shown as it is', () => {
  expect(countryText('XX')).toBe('XX');
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
