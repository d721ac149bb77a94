import { parseCertificate } from '@mecai/pki';
import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VoucherError } from './error.ts';
import {
  decodeRenewalInformation,
  earlyRenewal,
  encodeRenewalInformation,
  type RenewalEntry,
  renewalSelectors,
} from './renewal.ts';
import { testCertificate } from './testing.ts';

const at = (seconds: number) => new Date(seconds * 1_000);
const time = fc.integer({ min: 0, max: 4_000_000_000 });
const entry: fc.Arbitrary<RenewalEntry> = fc
  .record({
    producedBefore: time,
    start: time,
    length: fc.integer({ min: 0, max: 86_400 }),
    about: fc.option(
      fc.record({
        selector: fc.constantFrom(...renewalSelectors),
        sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
      }),
      { nil: undefined },
    ),
  })
  .map(({ producedBefore, start, length, about }) => ({
    producedBefore: at(producedBefore),
    ...(about && { about }),
    start: at(start),
    end: at(start + length),
  }));

describe('renewal information', () => {
  test('comes back as it was written', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
        expect(decodeRenewalInformation(Buffer.from(encodeRenewalInformation({ entries })))).toEqual({
          entries,
        });
      }),
    );
  });

  const good = {
    producedBefore: '2026-11-22T12:00:00Z',
    start: '2026-11-22T12:00:00Z',
    end: '2026-11-22T13:00:00Z',
  };
  test.each([
    ['another version', { version: 2, renew: [] }, 'unsupported-version'],
    ['an unknown member', { version: 1, renew: [], hurry: true }, 'malformed'],
    [
      'a window that ends before it starts',
      { version: 1, renew: [{ ...good, end: '2026-11-22T11:00:00Z' }] },
      'malformed',
    ],
    [
      'two selectors',
      { version: 1, renew: [{ ...good, spki: 'ab'.repeat(32), issuer: 'ab'.repeat(32) }] },
      'malformed',
    ],
    ['half a digest', { version: 1, renew: [{ ...good, spki: 'ab'.repeat(16) }] }, 'malformed'],
    ['a day that is none', { version: 1, renew: [{ ...good, start: '2026-02-30T12:00:00Z' }] }, 'malformed'],
    ['too many entries', { version: 1, renew: Array.from({ length: 1_001 }, () => good) }, 'malformed'],
  ])('refuses %s', (_, document, code) => {
    const decode = () => decodeRenewalInformation(Buffer.from(JSON.stringify(document)));
    expect(decode).toThrow(VoucherError);
    expect(decode).toThrow(expect.objectContaining({ code }));
  });

  test('whatever the bytes are, they are read or refused', () => {
    const text = encodeRenewalInformation({ entries: fc.sample(entry, { numRuns: 2, seed: 1 }) });
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (position, flip) => {
        const bytes = Buffer.from(text);
        bytes[position]! ^= flip;
        try {
          decodeRenewalInformation(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(VoucherError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('early renewal', () => {
  const root = testCertificate({ subject: 'Root', ca: true });
  const issuer = testCertificate({ subject: 'Issuer', issuer: root, ca: true });
  const leaf = testCertificate({ subject: 'leaf', issuer });
  const chain = [leaf.der, issuer.der];
  const window = { producedBefore: at(1_000), start: at(2_000), end: at(3_000) };
  const when = (more: Partial<RenewalEntry>, producedAt = 999, lot = 0.25) =>
    earlyRenewal({ entries: [{ ...window, ...more }] }, at(producedAt), chain, lot);
  const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');
  const parsed = parseCertificate(issuer.der);

  test('is at the place in the window that was drawn, for vouchers from before', () => {
    expect(when({})).toEqual(at(2_250));
    expect(when({}, 1_000)).toBeUndefined();
    expect(when({}, 999, 0)).toEqual(at(2_000));
  });

  test('is for the chains that are meant', () => {
    const cases: readonly (readonly [RenewalEntry['about'] & {}, boolean])[] = [
      [{ selector: 'certificate', sha256: sha256(leaf.der) }, true],
      [{ selector: 'certificate', sha256: sha256(issuer.der) }, true],
      [{ selector: 'certificate', sha256: sha256(root.der) }, false],
      [{ selector: 'spki', sha256: sha256(parsed.spki) }, true],
      [{ selector: 'spki', sha256: sha256(parsed.subject) }, false],
      // The root is not sent, and found by the name it issues in.
      [{ selector: 'issuer', sha256: sha256(parseCertificate(root.der).subject) }, true],
      [{ selector: 'issuer', sha256: sha256(parseCertificate(leaf.der).subject) }, false],
    ];
    for (const [about, meant] of cases) expect(when({ about }) !== undefined).toBe(meant);
  });

  test('of several, the earliest counts', () => {
    const entries = [window, { ...window, start: at(500), end: at(500) }];
    expect(earlyRenewal({ entries }, at(0), chain, 0.5)).toEqual(at(500));
  });
});
