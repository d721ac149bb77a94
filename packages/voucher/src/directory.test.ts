import { hash, sign } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Directory,
  encodeDirectory,
  parseDirectory,
  prepareDirectory,
  verifyDirectory,
} from './directory.ts';
import { VoucherError } from './error.ts';
import { signJws } from './jws.ts';
import { oids } from './oids.ts';
import { keyUsages, type TestVa, testCertificate, testVa, testVoucher } from './testing.ts';

const va = testVa();
const now = new Date('2026-11-22T13:00:00Z');
const { quorum } = testVoucher;
const directory: Directory = {
  version: 12,
  publishedAt: new Date('2026-11-20T00:00:00Z'),
  previous: { version: 10, digest: hash('sha256', 'before', 'buffer') },
  quorum,
  trustContexts: ['CHROME', 'MOZ'],
  perspectives: [
    { country: 'BR', city: 'São Paulo', latitude: -24, longitude: -47, rir: 'lacnic', asn: 64_501 },
    { country: 'DE', city: 'Frankfurt', latitude: 50, longitude: 9, rir: 'ripencc', asn: 64_496 },
  ],
};

function signed(payload: Uint8Array, by: TestVa = va): Buffer {
  const prepared = prepareDirectory(payload, [by.certificate.der, by.intermediate.der]);
  const { digestAlgorithm } = by.signer;
  return Buffer.from(prepared.finish(sign(digestAlgorithm, prepared.toBeSigned, by.certificate.privateKey)));
}
const verify = (bytes: Uint8Array, at = now) => verifyDirectory(bytes, { roots: [va.root.der], now: at });

function code(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    if (!(error instanceof VoucherError)) throw error;
    return error.code;
  }
}

describe.each(['P-256', 'P-384'] as const)('a directory signed on %s', (curve) => {
  const by = curve === 'P-256' ? va : testVa(curve);
  test('comes out as it went in, for fifty signatures of any length', () => {
    const payload = encodeDirectory(directory);
    for (let i = 0; i < 50; i++) {
      const found = verifyDirectory(signed(payload, by), { roots: [by.root.der], now });
      expect(Buffer.from(encodeDirectory(found.directory)).equals(payload)).toBe(true);
      expect(Buffer.from(found.digest)).toEqual(hash('sha256', payload, 'buffer'));
      expect(found.path).toHaveLength(3);
    }
  });
});

test('the order in which perspectives and contexts are listed does not matter', () => {
  const turned = {
    ...directory,
    trustContexts: directory.trustContexts.toReversed(),
    perspectives: directory.perspectives.toReversed(),
  };
  expect(encodeDirectory(turned)).toEqual(encodeDirectory(directory));
  expect(parseDirectory(encodeDirectory(turned)).perspectives).toEqual(directory.perspectives);
});

describe('a directory is not believed', () => {
  const good = signed(encodeDirectory(directory));
  test('from a VA under another root, or with a certificate that has expired', () => {
    expect(code(() => verify(signed(encodeDirectory(directory), testVa())))).toBe('untrusted-va');
    expect(code(() => verify(good, new Date('2029-01-01T00:00:00Z')))).toBe('va-certificate-expired');
  });
  test('under a certificate that is not for vouchers', () => {
    const other = testVa('P-256', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] });
    const document = signJws(
      encodeDirectory(directory),
      'mecai-directory+jws',
      other.certificate.privateKey,
      {
        x5c: [other.certificate.der, other.intermediate.der],
      },
    );
    expect(code(() => verifyDirectory(Buffer.from(document), { roots: [other.root.der], now }))).toBe(
      'not-a-voucher-certificate',
    );
  });
  test('signed by another key than that of its certificate', () => {
    const key = testCertificate({ subject: 'x', keyUsage: keyUsages.digitalSignature }).privateKey;
    const x5c = [va.certificate.der, va.intermediate.der];
    const document = signJws(encodeDirectory(directory), 'mecai-directory+jws', key, { x5c });
    expect(code(() => verify(Buffer.from(document)))).toBe('bad-signature');
    const named = signJws(encodeDirectory(directory), 'mecai-directory+jws', key, { kid: 'va' });
    expect(code(() => verify(Buffer.from(named)))).toBe('malformed');
  });
  test('with any octet changed', () => {
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(good);
        changed[at]! ^= change;
        expect(code(() => verify(changed))).not.toBe('none');
      }),
      { numRuns: 500 },
    );
  });
  test.each<[string, object]>([
    [
      'a perspective with its address',
      { perspectives: [{ ...directory.perspectives[0], address: '192.0.2.1' }] },
    ],
    ['half degrees', { perspectives: [{ ...directory.perspectives[0], latitude: 50.5 }] }],
    ['no perspective', { perspectives: [] }],
    ['a trust context twice', { trustContexts: ['MOZ', 'MOZ'] }],
    ['more matches than asked', { quorum: { ...quorum, matches: 7 } }],
    [
      'a previous version that is none',
      { previous: { version: 12, digest: Buffer.alloc(32).toString('base64') } },
    ],
    ['a digest cut short', { previous: { version: 1, digest: 'AAAA' } }],
    ['unknown members', { more: 1 }],
  ])('with %s', (_, change) => {
    const json = JSON.parse(Buffer.from(encodeDirectory(directory)).toString()) as object;
    const payload = Buffer.from(JSON.stringify({ ...json, ...change }));
    expect(code(() => parseDirectory(payload))).toBe('malformed');
  });
});

test('the extended key usage is that of vouchers: a key for both, octets of neither for the other', () => {
  expect(oids.voucherSigning).toMatch(/\.2$/);
  const prepared = prepareDirectory(encodeDirectory(directory), [va.certificate.der]);
  expect(prepared.toBeSigned[0]).toBe('e'.charCodeAt(0));
  expect(va.signer.prepare(testVoucher, now).toBeSigned[0]).toBe(0x31);
});
