import { expect, it } from 'vitest';
import { Batcher } from './batcher.ts';

class Numbers {
  readonly all: number[] = [];
  get size(): number {
    return this.all.length;
  }
}

function gather(limits: { rows: number; ms: number }, behind = () => 0) {
  const batcher = new Batcher(limits, () => new Numbers(), behind);
  const push = (n: number) => {
    batcher.current.all.push(n);
    batcher.added();
  };
  const take = async () => (await batcher.take()).all;
  return { batcher, push, take };
}

it('hands out full batches at once, and the rest when its first item has waited', async () => {
  const { push, take } = gather({ rows: 3, ms: 50 });
  const first = take();
  for (let i = 0; i < 7; i++) push(i);
  expect(await first).toEqual([0, 1, 2]);
  expect(await take()).toEqual([3, 4, 5]);
  const began = performance.now();
  expect(await take()).toEqual([6]);
  expect(performance.now() - began).toBeGreaterThan(40);
});

it('waits longer while more are to come than fit', async () => {
  let behind = 4;
  const { push, take } = gather({ rows: 3, ms: 20 }, () => behind);
  push(1);
  let taken = false;
  const first = take().finally(() => (taken = true));
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(taken).toBe(false);
  push(2);
  behind = 3;
  expect(await first).toEqual([1, 2]);
  behind = 4;
  push(3);
  const began = performance.now();
  expect(await take()).toEqual([3]);
  expect(performance.now() - began).toBeGreaterThan(300);
});

it('hands out a sealed batch at once', async () => {
  const { batcher, push, take } = gather({ rows: 3, ms: 60_000 });
  batcher.seal();
  push(1);
  const first = take();
  batcher.seal();
  push(2);
  expect(await first).toEqual([1]);
  batcher.seal();
  expect(await take()).toEqual([2]);
});

it('drains when closed, then hands out nothing', async () => {
  const { batcher, push, take } = gather({ rows: 2, ms: 60_000 });
  const waiting = take();
  push(1);
  batcher.close();
  expect(await waiting).toEqual([1]);
  expect(await take()).toEqual([]);
});
