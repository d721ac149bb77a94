import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Nonces } from './nonces.ts';

const lifetimeMs = 300_000;
const key = randomBytes(32);
const nonces = new Nonces(key, lifetimeMs);
const time = fc.integer({ min: 0, max: 2 ** 47 });

describe('nonces', () => {
  it('of one coordinator are good for another with the same key, and those of an earlier key are not', () => {
    const other = new Nonces(randomBytes(32), lifetimeMs);
    const before = other.issue(1, randomBytes);
    other.use(key);
    expect(nonces.isGood(other.issue(1, randomBytes), 1)).toBe(true);
    expect(other.isGood(before, 1)).toBe(false);
  });

  it('are good from their issue to the end of their life, and neither before nor after', () => {
    fc.assert(
      fc.property(time, fc.integer({ min: -400_000, max: 400_000 }), (issued, later) => {
        const nonce = nonces.issue(issued, randomBytes);
        expect(nonces.isGood(nonce, issued + later)).toBe(later >= 0 && later <= lifetimeMs);
      }),
    );
  });

  it('are not good with any bit changed', () => {
    fc.assert(
      fc.property(time, fc.integer({ min: 0, max: 32 * 8 - 1 }), (now, bit) => {
        const nonce = nonces.issue(now, randomBytes);
        nonce[bit >> 3]! ^= 1 << (bit & 7);
        expect(nonces.isGood(nonce, now)).toBe(false);
      }),
    );
  });

  it('are not good in another length, or under another key', () => {
    const nonce = nonces.issue(0, randomBytes);
    expect(nonces.isGood(nonce.subarray(1), 0)).toBe(false);
    expect(nonces.isGood(Buffer.concat([nonce, Buffer.alloc(1)]), 0)).toBe(false);
    expect(nonces.isGood(new Uint8Array(), 0)).toBe(false);
    expect(new Nonces(randomBytes(32)).isGood(nonce, 0)).toBe(false);
  });

  it('differ at the same moment', () => {
    const some = Array.from({ length: 100 }, () => Buffer.from(nonces.issue(0, randomBytes)).toString('hex'));
    expect(new Set(some).size).toBe(100);
  });
});
