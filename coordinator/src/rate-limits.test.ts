import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '@mecai/addresses';
import { RateLimiter, limitKey } from './rate-limits.ts';

const options = fc.record({
  perMinute: fc.integer({ min: 1, max: 100_000 }),
  burst: fc.integer({ min: 1, max: 1_000 }),
});
const key = (text: string) => limitKey(parseAddress(text));
/** Milliseconds between one attempt and the next. */
const gaps = fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 300 });

describe('rate limiter', () => {
  it('never lets more through than burst and rate together, and refuses only when it must', () => {
    fc.assert(
      fc.property(options, gaps, (bucket, between) => {
        const limiter = new RateLimiter(bucket);
        let now = 1_000_000;
        let allowed = 0;
        let tokens = bucket.burst;
        for (const gap of between) {
          now += gap;
          tokens = Math.min(bucket.burst, tokens + (gap * bucket.perMinute) / 60_000);
          const wait = limiter.take('a', now);
          if (wait === 0) {
            allowed++;
            tokens--;
          }
          // A model with fractions of its own: differences are those of floating point.
          expect(tokens).toBeGreaterThan(-1e-6);
          if (wait > 0) expect(tokens).toBeLessThan(1 + 1e-6);
        }
        const elapsed = between.reduce((sum, gap) => sum + gap, 0);
        expect(allowed).toBeLessThanOrEqual(bucket.burst + (elapsed * bucket.perMinute) / 60_000 + 1e-6);
      }),
    );
  });

  it('whoever waits as long as told is let through, and not a whole second too late', () => {
    fc.assert(
      fc.property(options, fc.integer({ min: 0, max: 2_000 }), (bucket, extra) => {
        const limiter = new RateLimiter(bucket);
        const now = 5_000_000;
        for (let i = 0; i < bucket.burst; i++) expect(limiter.take('a', now)).toBe(0);
        const wait = limiter.take('a', now);
        expect(wait).toBeGreaterThan(0);
        expect(wait).toBe(Math.ceil(60 / bucket.perMinute));
        expect(limiter.take('a', now + wait * 1_000 + extra)).toBe(0);
      }),
    );
  });

  it('keeps keys apart', () => {
    const limiter = new RateLimiter({ perMinute: 1, burst: 1 });
    expect(limiter.take('a', 0)).toBe(0);
    expect(limiter.take('b', 0)).toBe(0);
    expect(limiter.take('a', 0)).toBe(60);
  });

  it('gives nothing for a clock that goes back', () => {
    const limiter = new RateLimiter({ perMinute: 60, burst: 1 });
    expect(limiter.take('a', 100_000)).toBe(0);
    expect(limiter.take('a', 0)).toBe(1);
    expect(limiter.take('a', 100)).toBeGreaterThan(0);
  });

  it('forgets the key untouched for longest, not the one in use', () => {
    const limiter = new RateLimiter({ perMinute: 1, burst: 1 }, 2);
    limiter.take('old', 0);
    limiter.take('used', 0);
    limiter.take('new', 1);
    expect(limiter.take('used', 2)).toBeGreaterThan(0);
    expect(limiter.take('old', 2)).toBe(0);
  });

  it('counts an IPv6 /64 as one, and an IPv4 address as one', () => {
    expect(key('2001:db8:0:1::1')).toBe(key('2001:db8:0:1:ffff::2'));
    expect(key('2001:db8:0:1::1')).not.toBe(key('2001:db8:0:2::1'));
    expect(key('192.0.2.1')).not.toBe(key('192.0.2.2'));
  });
});
