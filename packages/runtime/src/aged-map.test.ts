import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AgedMap } from './aged-map.ts';

type Step = readonly ['set' | 'delete' | 'age', key: number];
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.tuple(fc.constantFrom('set', 'delete'), fc.nat(12)),
    fc.constant(['age', 0] as const),
  ),
  { maxLength: 200 },
);

it('its oldest entry is the first of a Map with which the same was done', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const [aged, plain] = [new AgedMap<number, number>(), new Map<number, number>()];
      for (const [value, [step, key]] of all.entries()) {
        if (step === 'set') for (const map of [aged, plain]) map.set(key, value);
        else if (step === 'delete') expect(aged.delete(key)).toBe(plain.delete(key));
        else expect(aged.oldest).toEqual(plain.entries().next().value);
      }
      expect(aged.oldest).toEqual(plain.entries().next().value);
      expect([...aged]).toEqual([...plain]);
    }),
  );
});

it('emptied at once, it begins anew', () => {
  const map = new AgedMap([['a', 1]]);
  expect(map.oldest).toEqual(['a', 1]);
  map.clear();
  expect(map.oldest).toBeUndefined();
  map.set('b', 2).set('a', 3);
  expect(map.oldest).toEqual(['b', 2]);
});
