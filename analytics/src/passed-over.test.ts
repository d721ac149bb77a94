/** Numbers that are given twice: a server that lost the messages of its streams, and knows what its consumers had. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
import { Bed, many } from './testing/bed.ts';
import type { AnalyticsProcess } from './testing/process.ts';

const bed = new Bed();
const wait = { timeout: 240_000, interval: 100 };

async function loseMessages(): Promise<void> {
  const { nats } = bed.network;
  await nats.stop();
  for (const stream of ['OBSERVATIONS', 'RECORDS'])
    rmSync(join(bed.root, 'nats/store/jetstream/$G/streams', stream, 'msgs'), { recursive: true });
  await nats.restart();
}

const publish = async (from: number, to: number) => {
  await many(from, to, bed.publishObservation);
  await many(from, to, bed.publishDecision);
};

const counts = async (sink: AnalyticsProcess) => {
  const { observations, decisions } = await sink.get<Record<string, number>>('/counts');
  return [observations, decisions];
};

// Later servers than 2.9 begin again by themselves.
it('what is stored under them is stored here, too, and taken out of the work queue', {
  timeout: 600_000,
}, async () => {
  // So late that nothing comes twice, whose second acknowledgement could be taken for that of another message.
  const sink = await bed.start({ redeliverMs: 60_000 });
  await publish(0, 40);
  await sink.caughtUp();
  await loseMessages();
  await publish(40, 64);
  await expect.poll(() => counts(sink), wait).toEqual([64, 64]);
  const manager = await bed.manager();
  const left = async () => (await manager.streams.info('OBSERVATIONS')).state.messages;
  await expect.poll(left, wait).toBe(0);
  // Past the forty.
  await publish(64, 88);
  await expect.poll(() => counts(sink), wait).toEqual([88, 88]);
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
  const decisions = async (sink: AnalyticsProcess) => (await counts(sink))[1];
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
