import { type Voucher, VoucherVerifier } from '@mecai/voucher';
import { keyUsages, testCertificate, testVa, testVoucher } from '@mecai/voucher/testing';
import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type CheckCode, checkVoucher, type Expectations } from './check.ts';

const ca = { ca: true, keyUsage: keyUsages.keyCertSign };
const serverRoot = testCertificate({ subject: 'Server root', ...ca });
const intermediate = testCertificate({ subject: 'Server CA', issuer: serverRoot, ...ca });
const leaf = testCertificate({ subject: 'server', issuer: intermediate, dnsNames: ['www.example.org'] });
const chain = [leaf.der, intermediate.der];
const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');

const va = testVa();
const verifier = new VoucherVerifier({ roots: [va.root.der] });
const now = new Date('2026-11-22T13:00:00Z');

const about = (certificates: readonly Uint8Array[], fields: Partial<Voucher> = {}): Voucher => ({
  ...testVoucher,
  leaf: sha256(certificates[0]!),
  intermediates: certificates.slice(1).map(sha256),
  status: [],
  ...fields,
});

const codes = (expectations: Expectations, voucher = about(chain), at = now): CheckCode[] =>
  checkVoucher(va.issue(voucher), expectations, { verifier, now: at }).failures.map((one) => one.code);

test('a voucher for the connection at hand', () => {
  const check = checkVoucher(
    va.issue(about(chain)),
    {
      chain,
      address: '2001:db8::1',
      port: 443,
      trustContext: 'MOZ',
      quorum: { matches: 4, regions: 4, networks: 4 },
    },
    { verifier, now },
  );
  expect(check.failures).toEqual([]);
  expect(check.verified!.content.port).toBe(443);
});

test('what is not expected is not checked', () => {
  expect(codes({})).toEqual([]);
});

describe('each failure has its code', () => {
  const other = testCertificate({ subject: 'server', issuer: intermediate, serial: 2 });
  const cases: readonly [CheckCode, Expectations, Partial<Voucher>?][] = [
    ['other-leaf', { chain: [other.der, intermediate.der] }],
    ['other-intermediates', { chain: [leaf.der] }],
    ['other-intermediates', { chain: [...chain, serverRoot.der] }],
    ['other-address', { address: '192.0.2.2' }],
    ['other-address', { address: '2001:db8::2' }],
    ['other-port', { port: 8443 }],
    ['trust-context-missing', { trustContext: 'APPLE' }],
    ['trust-context-missing', { trustContext: 'MO' }],
    ['weak-quorum', { quorum: { matches: 5 } }],
    ['weak-quorum', { quorum: { regions: 5 } }],
    ['weak-quorum', { quorum: { networks: 5 } }],
  ];
  test.each(cases)('%s: %o', (code, expectations) => {
    expect(codes(expectations)).toEqual([code]);
  });

  test('an address of the other IP version', () => {
    const { ipv6: _, ...ipv4Only } = about(chain);
    const perspectives = testVoucher.perspectives.map(({ ipv6: __, ...one }) => one);
    expect(codes({ address: '2001:db8::1' }, { ...ipv4Only, perspectives })).toEqual(['other-address']);
  });

  test('intermediates in another order', () => {
    const second = testCertificate({ subject: 'Server CA', issuer: serverRoot, serial: 5, ...ca }).der;
    const vouched = about([leaf.der, intermediate.der, second]);
    expect(codes({ chain: [leaf.der, second, intermediate.der] }, vouched)).toEqual(['other-intermediates']);
  });

  test('an empty chain, and one that cannot be read', () => {
    expect(codes({ chain: [] })).toEqual(['other-leaf', 'other-intermediates']);
    const unreadable = Uint8Array.of(0x30, 0);
    expect(codes({ chain: [unreadable] }, about([unreadable]))).toEqual(['bad-chain']);
  });

  test('all of them at once', () => {
    const expectations = {
      chain: [other.der],
      address: '192.0.2.9',
      port: 1,
      trustContext: 'X',
      quorum: { matches: 6 },
    };
    expect(codes(expectations)).toEqual([
      'other-leaf',
      'other-intermediates',
      'other-address',
      'other-port',
      'trust-context-missing',
      'weak-quorum',
    ]);
  });

  test('the voucher itself first, and nothing else then', () => {
    const bytes = va.issue(about(chain));
    expect(failed(bytes, new Date('2026-11-24T00:00:00Z'))).toEqual(['expired']);
    expect(failed(bytes.subarray(1), now)).toEqual(['malformed']);
    expect(failed(testVa().issue(about(chain)), now)).toEqual(['untrusted-va']);
  });
});

describe("the VA's own CA", () => {
  test('issued the server certificate by its intermediate', () => {
    const own = testCertificate({ subject: 'server', issuer: va.intermediate });
    expect(codes({ chain: [own.der] }, about([own.der]))).toEqual(['same-ca']);
    const whole = [own.der, va.intermediate.der];
    expect(codes({ chain: whole }, about(whole))).toEqual(['same-ca']);
  });

  test('issued an intermediate of the server from its root, which is not sent', () => {
    const sub = testCertificate({ subject: 'Subordinate', issuer: va.root, ...ca });
    const own = [testCertificate({ subject: 'server', issuer: sub }).der, sub.der];
    expect(codes({ chain: own }, about(own))).toEqual(['same-ca']);
  });

  test('under another name, with the same key', () => {
    const renamed = testCertificate({ subject: 'Renamed', key: va.root, issuer: serverRoot, ...ca });
    const own = [testCertificate({ subject: 'server', issuer: renamed }).der, renamed.der];
    expect(codes({ chain: own }, about(own))).toEqual(['same-ca']);
  });

  test('is not one that only has its name', () => {
    const namesake = testCertificate({ subject: va.root.subject, ...ca });
    const foreign = testCertificate({ subject: 'server', issuer: namesake });
    expect(codes({ chain: [foreign.der] }, about([foreign.der]))).toEqual([]);
  });
});

function failed(octets: Uint8Array, at: Date): CheckCode[] {
  return checkVoucher(octets, { port: 1 }, { verifier, now: at }).failures.map((one) => one.code);
}
