import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { wilson } from './score.ts';

it.each([
  // As tables of the interval have it.
  [0, 10, 0, 0.2775],
  [10, 10, 0.7225, 1],
  [5, 10, 0.2366, 0.7634],
  [24, 24, 0.862, 1],
])('%i of %i: from %d to %d', (right, all, low, high) => {
  const [from, to] = wilson(right, all);
  expect(from).toBeCloseTo(low, 3);
  expect(to).toBeCloseTo(high, 3);
});

it('holds the share itself, and narrows with the sample', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.integer({ min: 1, max: 100 }), (some, all) => {
      const right = Math.min(some, all);
      const [low, high] = wilson(right, all);
      expect(low).toBeLessThanOrEqual(right / all + 1e-9);
      expect(high).toBeGreaterThanOrEqual(right / all - 1e-9);
      const [lower, higher] = wilson(10 * right, 10 * all);
      expect(higher - lower).toBeLessThan(high - low);
    }),
  );
  expect(wilson(0, 0)).toEqual([0, 1]);
});
