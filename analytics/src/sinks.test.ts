import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { Bed, many } from './testing/bed.ts';
import { type AnalyticsProcess, type Status, startClickHouse } from './testing/process.ts';

const bed = new Bed();
const wait = { timeout: 120_000, interval: 50 };

/**
 * Several sinks of one consumer and one database, each started again when it ends, as by a supervisor; until the test
 * is finished.
 */
async function sinks(count: number, leaseMs: number) {
  const { child, port } = await startClickHouse(join(bed.directory, 'served'));
  const store = { kind: 'server', url: `http://127.0.0.1:${port}`, leaseMs };
  const running = new Set<AnalyticsProcess>();
  const starting: Promise<void>[] = [];
  let supervised = true;
  const start = async () => {
    const sink = await bed.start({ store });
    running.add(sink);
    sink.child.once('exit', () => {
      // One that cannot start any more is missed by the test, or came after its end.
      if (running.delete(sink) && supervised) starting.push(start().catch(() => undefined));
    });
  };
  for (let i = 0; i < count; i++) await start();
  const ready = (sink: AnalyticsProcess) =>
    fetch(`${sink.url}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      ({ status }) => status === 200,
      () => false,
    );
  /** The one that writes. */
  const active = async () => {
    for (;;) {
      for (const sink of running) if (await ready(sink)) return sink;
      await delay(50);
    }
  };
  const observations = async () => {
    const counted = await (await active()).get<{ observations?: number }>('/counts').catch(() => undefined);
    return counted?.observations ?? 0;
  };
  onTestFinished(async () => {
    supervised = false;
    await Promise.all(starting);
    for (const sink of running) await sink.stop();
    child.kill('SIGKILL');
  });
  return { running, active, observations };
}

it('three sinks: one writes, and each is stored once though each in turn is killed or paused', {
  timeout: 300_000,
}, async () => {
  const { running, active, observations } = await sinks(3, 3000);
  let published = 0;
  const paused: AnalyticsProcess[] = [];
  for (const how of ['SIGKILL', 'SIGSTOP', 'SIGKILL'] as const) {
    const from = published;
    published += 600;
    const flow = many(from, published, bed.publishObservation, 8);
    await expect.poll(observations, wait).toBeGreaterThan(from);
    const writing = await active();
    if (how === 'SIGSTOP') {
      paused.push(writing);
      running.delete(writing);
    }
    writing.child.kill(how);
    await flow;
    await expect.poll(observations, wait).toBe(published);
  }
  // Wakes long after another has taken over: it ends, and has written nothing.
  for (const sink of paused) {
    const ended = once(sink.child, 'exit');
    sink.child.kill('SIGCONT');
    expect(await ended).toEqual([1, null]);
  }
  expect(await (await active()).caughtUp()).toMatchObject({ observations: published, rates: published });
});

it('a sink that ends in order leaves the store to the next at once', async () => {
  const { running, active } = await sinks(2, 600_000);
  const first = await active();
  const second = [...running].find((sink) => sink !== first)!;
  await second.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.length === 1);
  expect(await second.get('/readyz')).toEqual({ ready: false, missing: ['store'] });
  await many(0, 100, bed.publishObservation);
  expect(await first.caughtUp()).toMatchObject({ observations: 100 });
  // What waits for the one that writes is not taken by the other.
  expect((await second.get<Status>('/status')).streams.observations).toMatchObject({
    stored: 0,
    underWay: 0,
  });
  expect(await first.stop()).toBe(0);
  await many(100, 200, bed.publishObservation);
  // The other, or the one that was started in the place of the first: whoever asked sooner.
  expect(await (await active()).caughtUp()).toMatchObject({ observations: 200 });
});
