import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RecentlyStored, keepStored } from './recently-stored.ts';

const one = (id: string, octets = 10) => ({ id, bytes: new Uint8Array(octets) });

it('keeps what is young enough, the oldest first', () => {
  let now = 0;
  const recent = new RecentlyStored({ ms: 100, octets: 1_000 }, () => now);
  recent.add(one('a'));
  now = 50;
  recent.add(one('b'));
  now = 99;
  expect(recent.all().map(({ id }) => id)).toEqual(['a', 'b']);
  now = 100;
  expect(recent.has(one('a'))).toBe(false);
  expect(recent.all().map(({ id }) => id)).toEqual(['b']);
  now = 150;
  expect(recent.all()).toEqual([]);
  expect(recent.octets).toBe(0);
});

it('is as old as its first acknowledgement', () => {
  let now = 0;
  const recent = new RecentlyStored({ ms: 100, octets: 1_000 }, () => now);
  recent.add(one('a'));
  now = 60;
  recent.add(one('a'));
  expect(recent.octets).toBe(10);
  now = 100;
  expect(recent.all()).toEqual([]);
});

it('holds no more octets than it may, and the youngest of all', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.nat(100), (sizes, octets) => {
      const recent = new RecentlyStored({ ms: 1, octets }, () => 0);
      for (const [i, size] of sizes.entries()) recent.add(one(String(i), size));
      const kept = recent.all();
      const sum = kept.reduce((so, { bytes }) => so + bytes.length, 0);
      expect(recent.octets).toBe(sum);
      expect(sum).toBeLessThanOrEqual(octets);
      expect(kept.map(({ id }) => Number(id))).toEqual(
        Array.from(kept, (_, i) => sizes.length - kept.length + i),
      );
      // The next one would not fit.
      const next = sizes[sizes.length - kept.length - 1];
      if (next !== undefined) expect(sum + next).toBeGreaterThan(octets);
    }),
  );
});

it('0 milliseconds, 0 octets: keeps nothing', () => {
  for (const bounds of [
    { ms: 0, octets: 1_000 },
    { ms: 100, octets: 0 },
  ]) {
    const recent = new RecentlyStored(bounds, () => 0);
    recent.add(one('a'));
    expect(recent.all()).toEqual([]);
  }
});

it('is bounded by what streams know of message ids', () => {
  expect(keepStored(7).parse(undefined)).toEqual({ ms: 90_000, octets: 7 });
  expect(keepStored(7).safeParse({ ms: 100_001 }).success).toBe(false);
});
