/** Messages that a consumer has handed out or passed over, and will not hand out again. */
import { createLogger } from '@mecai/runtime';
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
import { PassedOver } from './passed-over.ts';
import { Bed, many } from './testing/bed.ts';
import type { AnalyticsProcess } from './testing/process.ts';

const bed = new Bed();
const wait = { timeout: 240_000, interval: 100 };

const rowsOf = (sink: AnalyticsProcess) => sink.get<Record<string, number>>('/counts');

it('observations are stored, and taken out of the work queue', { timeout: 600_000 }, async () => {
  await many(0, 40, bed.publishObservation);
  const manager = await bed.manager();
  await manager.consumers.add('OBSERVATIONS', {
    durable_name: 'analytics',
    ack_policy: AckPolicy.Explicit,
    ack_wait: 1_000_000,
    max_deliver: 1,
  });
  const consumer = await jetstream(bed.as('operator')).consumers.get('OBSERVATIONS', 'analytics');
  let handedOut = 0;
  while (handedOut < 40)
    for await (const _ of await consumer.fetch({ max_messages: 40, expires: 1000 })) handedOut++;
  const sink = await bed.start();
  await expect.poll(async () => (await rowsOf(sink))['observations'], wait).toBe(40);
  const left = async () => (await manager.streams.info('OBSERVATIONS')).state.messages;
  await expect.poll(left, wait).toBe(0);
  await sink.stop();
});

it('readAgainMs: records that the consumer never hands out are read at the start, from so long ago on', {
  timeout: 600_000,
}, async () => {
  await many(0, 40, bed.publishDecision);
  await (await bed.manager()).consumers.add('RECORDS', {
    durable_name: 'analytics',
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.New,
  });
  const nats = { servers: [bed.network.nats.url], seedFile: bed.network.seedFile };
  const decisions = async (sink: AnalyticsProcess) => (await rowsOf(sink))['decisions'];
  const blind = await bed.start({ nats: { ...nats, readAgainMs: 0 } });
  for (const last of [40, 41]) {
    await bed.publishDecision(last);
    await expect.poll(() => decisions(blind), wait).toBe(last - 39);
  }
  await blind.stop();
  const sink = await bed.start({ nats: { ...nats, readAgainMs: 3_600_000 } });
  await expect.poll(() => decisions(sink), wait).toBe(42);
  const metrics = await (await fetch(`${sink.url}/metrics`)).text();
  expect(metrics).toContain('analytics_passed_over{stream="records"} 40\n');
  await sink.stop();
});

it('a backlog that was handed out just now is on its way, however old; what was handed out long ago is read', {
  timeout: 600_000,
}, async () => {
  await many(0, 40, bed.publishObservation);
  const operator = await bed.manager();
  await operator.consumers.add('OBSERVATIONS', { durable_name: 'analytics', ack_policy: AckPolicy.Explicit });
  const consumer = await jetstream(bed.as('operator')).consumers.get('OBSERVATIONS', 'analytics');
  const handOut = async (messages: number) => {
    while (messages > 0)
      for await (const _ of await consumer.fetch({ max_messages: messages, expires: 1000 })) messages--;
  };
  await handOut(30);
  const redeliverMs = 600_000;
  // Ten deadlines after the last of them was stored.
  let now = Date.now() + 10 * redeliverMs;
  let looks = 0;
  let reads = 0;
  const passedOver = new PassedOver({
    stream: 'OBSERVATIONS',
    name: 'analytics',
    redeliverMs,
    readAgainMs: 0,
    read: () => {
      reads++;
      return { left: 'sampled' };
    },
    writer: { held: false, unstored: () => new Set(), write: async () => ({ stored: 0, repeated: 0 }) },
    log: createLogger('analytics', 'silent'),
    now: () => {
      looks++;
      return now;
    },
  });
  const nats = await bed.network.as('analytics');
  const stopping = new AbortController();
  const manager = await jetstreamManager(nats, { checkAPI: false });
  const following = passedOver.follow(nats, jetstream(nats), manager, stopping.signal);
  /** Until one has begun and ended. */
  const looked = async () => {
    const before = looks;
    await expect.poll(() => looks, wait).toBeGreaterThan(before + 1);
  };
  const left = async () => (await operator.streams.info('OBSERVATIONS')).state.messages;
  await looked();
  expect([reads, await left()]).toEqual([0, 40]);
  // Those handed out a moment later are still on their way when the first should be stored.
  now += 1;
  await handOut(5);
  now += 2 * redeliverMs - 2;
  await looked();
  expect([reads, await left()]).toEqual([0, 40]);
  now += 1;
  await expect.poll(left, wait).toBe(10);
  await looked();
  expect([reads, await left()]).toEqual([30, 10]);
  stopping.abort();
  await following;
  await nats.close();
});
