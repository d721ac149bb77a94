import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { RecentIds } from './recent-ids.ts';

/** Few of them begin differently, so that most meet in the table. */
const id = (n: number) => `${(n % 3).toString(16).padStart(8, 'a')}${n.toString(16).padStart(24, '0')}`;

it('knows what it was given, and says from when on it knows all', () => {
  const recent = new RecentIds([{ id: id(1), receivedAt: 100 }], 50, 2);
  expect(recent.has(id(1))).toBe(true);
  expect(recent.has(id(2))).toBe(false);
  expect(recent.mayHaveForgotten(50)).toBe(false);
  expect(recent.mayHaveForgotten(49)).toBe(true);
});

it('never calls new what was stored, however rows come and whatever it has forgotten', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ n: fc.nat(40), receivedAt: fc.nat(30) }), { maxLength: 100 }),
      fc.integer({ min: 1, max: 10 }),
      (rows, capacity) => {
        const recent = new RecentIds([], Number.NEGATIVE_INFINITY, capacity);
        const stored = new Map<number, number>();
        for (const { n, receivedAt } of rows) {
          const first = stored.get(n);
          const known = recent.has(id(n));
          if (known) expect(first).toBeDefined();
          // Asked with any bound that holds, it has the id or admits that it may have forgotten it.
          if (first !== undefined && !known) expect(recent.mayHaveForgotten(first)).toBe(true);
          if (first === undefined) {
            stored.set(n, receivedAt);
            recent.add(id(n), receivedAt);
          }
        }
        expect(recent.size).toBeLessThanOrEqual(capacity);
      },
    ),
  );
});

it('keeps no more than it may, and those that came last', () => {
  const recent = new RecentIds([], 0, 1000);
  for (let n = 0; n < 5000; n++) recent.add(id(n), n);
  expect(recent.size).toBe(1000);
  for (let n = 0; n < 5000; n++) expect(recent.has(id(n))).toBe(n >= 4000);
  expect(recent.mayHaveForgotten(3999)).toBe(true);
  expect(recent.mayHaveForgotten(4000)).toBe(false);
});
