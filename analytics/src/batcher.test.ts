import { expect, it } from 'vitest';
import { Batcher } from './batcher.ts';

it('hands out full batches at once, and the rest when its first item has waited', async () => {
  const batcher = new Batcher<number>({ rows: 3, ms: 50 });
  const first = batcher.take();
  for (let i = 0; i < 7; i++) batcher.push(i);
  expect(await first).toEqual([0, 1, 2]);
  expect(await batcher.take()).toEqual([3, 4, 5]);
  const began = performance.now();
  expect(await batcher.take()).toEqual([6]);
  expect(performance.now() - began).toBeGreaterThan(40);
});

it('drains when closed, then hands out nothing', async () => {
  const batcher = new Batcher<number>({ rows: 2, ms: 60_000 });
  const waiting = batcher.take();
  batcher.push(1);
  batcher.close();
  expect(await waiting).toEqual([1]);
  expect(await batcher.take()).toEqual([]);
});
