import { describe, expect, it } from 'vitest';
import { PkiError } from './index.ts';
import { type Perishable, RefreshingCache } from './refreshing-cache.ts';

const hour = 3_600_000;
let clock = 1_000 * hour;
const limits = { entries: 3, octets: 1_000, maxAge: 4 * hour, maxIdle: 24 * hour, retryAfter: hour };
const newCache = (change: Partial<typeof limits> = {}) =>
  new RefreshingCache<Perishable & { readonly n: number }>(() => new Date(clock), { ...limits, ...change });
let loads = 0;
const value =
  (octets = 10, life = 10 * hour) =>
  async () => ({
    n: ++loads,
    thisUpdate: new Date(clock),
    nextUpdate: new Date(clock + life),
    octets,
  });
const failing = async () => {
  loads++;
  throw new PkiError('unreachable', 'down');
};
const counted = async <T>(action: () => Promise<T>) => {
  const before = loads;
  await action();
  return loads - before;
};

describe('a refreshing cache', () => {
  it('loads once for all who ask at the same time', async () => {
    const cache = newCache();
    const asked = () => Promise.all([1, 2, 3].map(() => cache.get('a', value())));
    expect(await counted(asked)).toBe(1);
    expect(await counted(asked)).toBe(0);
  });

  it('renews at the maximum age, or at four fifths of a life', async () => {
    for (const [life, due] of [
      [100 * hour, 4 * hour],
      [3 * hour, 2.4 * hour],
    ] as const) {
      const cache = newCache();
      await cache.get('a', value(10, life));
      clock += due - 1;
      expect(await counted(() => cache.refreshDue())).toBe(0);
      clock += 1;
      expect(await counted(() => cache.refreshDue())).toBe(1);
    }
  });

  it('renews once, however many ask in the meantime', async () => {
    const cache = newCache();
    await cache.get('a', value());
    clock += 5 * hour;
    const asked = async () => {
      await Promise.all([cache.get('a', value()), cache.get('a', value()), cache.refreshDue()]);
    };
    expect(await counted(asked)).toBe(1);
  });

  it('keeps the old value while renewing fails, until its end', async () => {
    const cache = newCache();
    const first = await cache.get('a', value());
    clock += 5 * hour;
    expect(await cache.get('a', failing)).toBe(first);
    await cache.refreshDue();
    expect(await cache.get('a', failing)).toBe(first);
    clock += 6 * hour;
    await expect(cache.get('a', failing)).rejects.toThrow('down');
  });

  it('does not ask again right after a failure', async () => {
    const cache = newCache();
    await expect(cache.get('a', failing)).rejects.toThrow('down');
    expect(await counted(() => cache.get('a', value()).catch(() => undefined))).toBe(0);
    clock += hour;
    expect(await counted(() => cache.get('a', value()))).toBe(1);
  });

  it('forgets the longest unused beyond its size, and what is idle', async () => {
    const cache = newCache();
    for (const key of ['a', 'b', 'c', 'a', 'd']) await cache.get(key, value());
    expect(cache.size).toBe(3);
    expect(await counted(() => cache.get('a', value()))).toBe(0);
    expect(await counted(() => cache.get('b', value()))).toBe(1);
    await cache.get('huge', value(990));
    expect(cache.size).toBe(2);
    clock += 25 * hour;
    expect(await counted(() => cache.refreshDue())).toBe(0);
    expect(cache.size).toBe(0);
  });
});
