import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Store } from './store.ts';
import { startClickHouse } from './testing/process.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-lease-'));
const log = createLogger('lease', 'silent');
let engine: { child: ChildProcess; port: number };
beforeAll(async () => {
  engine = await startClickHouse(join(root, 'served'));
});
afterAll(() => {
  engine.child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const open = (
  database: string,
  holder: string,
  leaseMs: number,
  lost: (error: Error) => void = () => {},
  had = false,
) =>
  Store.open(
    {
      store: { kind: 'server', url: `http://127.0.0.1:${engine.port}`, user: 'default', database, leaseMs },
      retentionDays: 0,
      insertMs: 10_000,
      lease: { holder, lost, had },
    },
    log,
  );
const evidence = (observation: string) => ({
  observation,
  received_at: Date.now(),
  agent: 'lima',
  signed_base64: 'AQ==',
});
const insert = (store: Store, id: string) => store.insert('evidence', [evidence(id)], [id]);
const stored = async (store: Store) =>
  (await store.query<{ id: string }>('SELECT observation AS id FROM evidence FINAL ORDER BY id')).map(
    ({ id }) => id,
  );

it('is refused while its holder renews it, whoever asks, and is free once released', async () => {
  const first = await open('renewed', 'a', 600_000);
  await expect(open('renewed', 'b', 600_000)).rejects.toMatchObject({ code: 'store-held' });
  await insert(first, '1');
  await first.close();
  // Its holder has lost sight of the store, no more.
  const again = await open('renewed', 'a', 600_000);
  await expect(open('renewed', 'b', 600_000)).rejects.toMatchObject({ code: 'store-held' });
  await again.release();
  await again.close();
  const second = await open('renewed', 'b', 600_000);
  await insert(second, '2');
  expect(await stored(second)).toEqual(['1', '2']);
  await second.close();
});

it('lost by silence, lets no insert of the former holder in, and tells it', async () => {
  const { promise: told, resolve } = Promise.withResolvers<Error>();
  const first = await open('lost', 'a', 600_000, resolve);
  await insert(first, '1');
  // As another sees it who waits less long.
  await expect.poll(() => open('lost', 'b', 500).catch(() => undefined), { timeout: 60_000 }).toBeDefined();
  await expect(insert(first, '2')).rejects.toThrow('another process');
  expect(await told).toMatchObject({ code: 'store-held' });
  expect(await stored(first)).toEqual(['1']);
  await expect(first.release()).rejects.toThrow('another process');
  await first.close();
});

it('once another had it, is not taken back by a process that had it before, though that one is gone', async () => {
  const first = await open('back', 'a', 600_000);
  await first.release();
  await first.close();
  const second = await open('back', 'b', 600_000);
  await second.release();
  await second.close();
  const told: Error[] = [];
  const again = open('back', 'a', 600_000, (error) => told.push(error), true);
  await expect(again).rejects.toMatchObject({ code: 'store-held' });
  expect(told).toMatchObject([{ code: 'store-held' }]);
});

it('of two that take it in the same moment, one gets it', async () => {
  const holders = ['a', 'b', 'c', 'd'];
  const stores = await Promise.allSettled(holders.map((holder) => open('race', holder, 600_000)));
  const inserted = await Promise.allSettled(
    stores.map((store, i) =>
      store.status === 'fulfilled' ? insert(store.value, holders[i]!) : Promise.reject(),
    ),
  );
  expect(inserted.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const store of stores) if (store.status === 'fulfilled') await store.value.close();
});
