import { testDatabases } from '@mecai/database/testing';
import { describe, expect, it, vi } from 'vitest';
import { Store } from './store.ts';
import { keptLog } from './testing/log.ts';

describe('Postgres below a coordinator', () => {
  const databases = testDatabases('postgres');

  it('that goes is noticed, and again when it comes back', async () => {
    const { log, lines } = keptLog();
    const failures: unknown[] = [];
    const store = new Store({
      config: await databases.config(),
      migrations: {},
      log,
      now: () => 0,
      random: Math.random,
      fail: (error) => failures.push(error),
    });
    expect(store.there).toBe(false);
    const reached = (there: boolean) => vi.waitUntil(() => store.there === there, { timeout: 30_000 });
    await reached(true);
    store.expectThere();
    await databases.server!.kill();
    await reached(false);
    expect(() => store.expectThere()).toThrow('the certificate log is away');
    await databases.server!.restart();
    await reached(true);
    store.expectThere();
    expect(await store.database.query('select 1 as one')).toEqual([{ one: 1 }]);
    expect(lines.map(({ message }) => message)).toEqual([
      'database reached',
      'database lost',
      'database reached again',
    ]);
    await store.close();
    expect(failures).toEqual([]);
  });
});
