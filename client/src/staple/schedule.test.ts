import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isWithdrawn, nextRequest, type Outcome } from './schedule.ts';

const now = 1_800_000_000_000;
const hour = 3_600_000;
const rhythm = { everySeconds: 43_200, jitter: 0.2 };
const lot = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const issued = (life: number): Outcome => ({ kind: 'issued', notAfter: now + life });
const not = (outcome: Omit<Extract<Outcome, { kind: 'not-issued' }>, 'kind'>): Outcome => ({
  kind: 'not-issued',
  ...outcome,
});
const wait = (outcome: Outcome, failures = 1, random = 0) =>
  nextRequest(outcome, failures, now, rhythm, () => random) - now;

describe('a voucher is asked for again', () => {
  test('twice a day, spread over a fifth of the interval', () => {
    expect(wait(issued(24 * hour), 0, 0)).toBe(12 * hour);
    expect(wait(issued(24 * hour), 0, 0.5)).toBeCloseTo(10.8 * hour, -3);
    fc.assert(
      fc.property(lot, (random) => {
        const after = wait(issued(24 * hour), 0, random);
        expect(after).toBeGreaterThan(9.5 * hour);
        expect(after).toBeLessThanOrEqual(12 * hour);
      }),
    );
  });

  test('at half of its life if that is shorter, never at once', () => {
    expect(wait(issued(2 * hour), 0)).toBe(hour);
    expect(wait(issued(0), 0)).toBe(60_000);
    expect(wait(issued(-hour), 0)).toBe(60_000);
  });

  test('when the VA says so, and not before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 78_000 }), lot, (seconds, random) => {
        const outcome = not({ status: 'on-hold', retryAfter: seconds });
        const after = wait(outcome, 1, random);
        expect(after).toBeGreaterThanOrEqual(seconds * 1_000);
        expect(after).toBeLessThanOrEqual(seconds * 1_100);
      }),
    );
    // A hold of days is looked at daily.
    expect(wait(not({ status: 'on-hold', retryAfter: 259_200 }))).toBe(24 * hour);
    expect(wait(not({ status: 'on-hold' }))).toBe(hour);
  });

  test('after six hours where the answer will not change soon', () => {
    for (const reason of [
      'own-ca',
      'distrusted',
      'revoked',
      'untrusted',
      'forbidden-target',
      'malformed',
    ] as const) {
      expect(wait(not({ status: 'refused', reason }))).toBe(6 * hour);
    }
  });

  test.each([
    ['nobody answers', { kind: 'failed' }],
    ['perspectives see something else', not({ status: 'mismatch' })],
    ['too few answer', not({ status: 'inconclusive' })],
    ['the VA wants another proof', not({ status: 'refused', reason: 'unauthenticated' })],
  ] as const)('after a minute, doubled up to an hour, while %s', (_, outcome) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), lot, (failures, random) => {
        const most = Math.min(hour, 60_000 * 2 ** Math.min(failures - 1, 20));
        const after = wait(outcome, failures, random);
        expect(after).toBeGreaterThanOrEqual(most / 2);
        expect(after).toBeLessThanOrEqual(most);
      }),
    );
  });
});

test('only a VA that takes back its word has its voucher withdrawn', () => {
  const refused = (reason: 'distrusted' | 'revoked' | 'untrusted' | 'rate-limited' | 'unauthenticated') =>
    isWithdrawn(not({ status: 'refused', reason }));
  expect([refused('distrusted'), refused('revoked'), refused('untrusted')]).toEqual([true, true, true]);
  expect([refused('rate-limited'), refused('unauthenticated')]).toEqual([false, false]);
  expect(isWithdrawn({ kind: 'failed' })).toBe(false);
  for (const status of ['mismatch', 'inconclusive', 'on-hold'] as const)
    expect(isWithdrawn(not({ status }))).toBe(false);
});
