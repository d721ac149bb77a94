import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Bed, many } from './testing/bed.ts';
import { type AnalyticsProcess, startClickHouse } from './testing/process.ts';

const bed = new Bed();

/** Value of a gauge of the stream of observations. */
async function gauge({ url }: AnalyticsProcess, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.includes(`${name}{`) && one.includes('"observations"'));
  return Number(line?.split(' ')[1] ?? Number.NaN);
}

it('lag grows while nothing is stored, and is gone when all is', { timeout: 300_000 }, async () => {
  const { child, port } = await startClickHouse(join(bed.directory, 'served'));
  const store = { kind: 'server', url: `http://127.0.0.1:${port}` };
  const first = await bed.start({ store });
  await many(0, 100, bed.publishObservation);
  await first.caughtUp();
  expect(await gauge(first, 'analytics_lag_seconds')).toBe(0);
  await first.stop();
  child.kill('SIGKILL');

  // Nobody is there to take them; then somebody without a store.
  await many(100, 1100, bed.publishObservation);
  const sink = await bed.start({ store });
  const of = (name: string) => gauge(sink, name);
  await expect.poll(() => of('analytics_under_way'), { timeout: 60_000 }).toBe(400);
  await expect.poll(() => of('analytics_behind'), { timeout: 60_000 }).toBe(600);
  const before = await of('analytics_lag_seconds');
  expect(before).toBeGreaterThan(0);
  await many(1100, 1300, bed.publishObservation);
  await expect.poll(() => of('analytics_behind'), { timeout: 60_000 }).toBe(800);
  expect(await of('analytics_lag_seconds')).toBeGreaterThan(before);

  const again = await startClickHouse(join(bed.directory, 'served'), port);
  expect(await sink.caughtUp()).toMatchObject({ observations: 1300 });
  for (const name of ['analytics_behind', 'analytics_under_way', 'analytics_lag_seconds'])
    await expect.poll(() => of(name), { timeout: 60_000 }).toBe(0);
  await sink.stop();
  again.child.kill('SIGKILL');
});
