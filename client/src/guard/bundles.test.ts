import { expect, test } from 'vitest';
import { Bundles } from './bundles.ts';

const now = new Date('2026-11-22T13:00:00Z');
const leaf = (i: number) => Buffer.from(`certificate ${i}`);
const candidates = (octets: number) => [{ route: 'well-known', voucher: new Uint8Array(octets) }] as const;

test('a bundle is kept for six hours', () => {
  const bundles = new Bundles();
  bundles.keep(leaf(1), candidates(10), now);
  expect(bundles.get(leaf(1), new Date(now.getTime() + 6 * 3_600_000 - 1))).toHaveLength(1);
  expect(bundles.get(leaf(1), new Date(now.getTime() + 6 * 3_600_000))).toEqual([]);
  expect(bundles.get(leaf(2), now)).toEqual([]);
});

test('another takes its place, and none leaves none', () => {
  const bundles = new Bundles();
  bundles.keep(leaf(1), candidates(10), now);
  bundles.keep(leaf(1), candidates(20), now);
  expect(bundles.get(leaf(1), now)[0]!.voucher).toHaveLength(20);
  bundles.keep(leaf(1), [], now);
  expect(bundles.get(leaf(1), now)).toEqual([]);
});

test('eight mebibytes in all: the oldest make room, however often one is replaced', () => {
  const bundles = new Bundles();
  for (let i = 0; i < 100; i++) bundles.keep(leaf(0), candidates(262_144), now);
  for (let i = 0; i < 33; i++) bundles.keep(leaf(i), candidates(262_144), now);
  expect(bundles.get(leaf(0), now)).toEqual([]);
  for (let i = 1; i < 33; i++) expect(bundles.get(leaf(i), now), `${i}`).toHaveLength(1);
});
