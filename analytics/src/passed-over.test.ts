/** Messages that a consumer has handed out or passed over, and will not hand out again. */
import { AckPolicy, DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
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
