import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Decision, ensureStreams } from '@mecai/proto';
import { AckPolicy, jetstream } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
import { Bed, agentOf, many } from './testing/bed.ts';
import { makeDecision, nonceOf, subjectOf } from './testing/network.ts';
import { type Status, startClickHouse } from './testing/process.ts';

const bed = new Bed();

it('counts exactly though it is killed again and again', { timeout: 300_000 }, async () => {
  const perRound = 600;
  const rounds = 7;
  let published = 0;
  for (let i = 0; i < rounds; i++) {
    const analytics = await bed.start();
    await analytics.until('/readyz', (_, code) => code === 200);
    const from = published;
    published += perRound;
    const publishing = many(from, published, bed.publishObservation, 8);
    const deciding = many(i * 20, i * 20 + 20, bed.publishDecision, 1);
    await delay(randomInt(30, 500));
    await analytics.kill();
    await Promise.all([publishing, deciding]);
  }
  const analytics = await bed.start();
  expect(await analytics.caughtUp()).toEqual({
    observations: published,
    certificates: 2,
    decisions: rounds * 20,
    mismatches: 0,
    // The materialised views too, though kills fall between the rows and what the views make of them.
    rates: published,
    campaigns: 0,
  });
  const { streams } = await analytics.get<Status>('/status');
  console.log('killed', rounds, 'times; last process:', JSON.stringify(streams.observations));
  for (const n of [0, 1, published - 1]) {
    expect(await analytics.get(`/observations?nonce=${nonceOf(n).toString('hex')}`)).toHaveLength(1);
  }
  expect(await analytics.stop()).toBe(0);
});

it('counts exactly though nats-server is killed and restarted', { timeout: 300_000 }, async () => {
  const analytics = await bed.start();
  await analytics.until('/readyz', (_, code) => code === 200);
  const total = 5000;
  const publishing = many(0, total, bed.publishObservation, 8);
  const deciding = many(0, 100, bed.publishDecision, 1);
  for (let i = 0; i < 5; i++) {
    await delay(randomInt(50, 300));
    bed.network.nats.kill();
    await bed.network.nats.restart();
  }
  await Promise.all([publishing, deciding]);
  expect(await analytics.caughtUp()).toMatchObject({ observations: total, decisions: 100 });
  console.log(
    'nats killed 5 times:',
    JSON.stringify((await analytics.get<Status>('/status')).streams.observations),
  );
  expect(await analytics.stop()).toBe(0);
});

it('stores once what is published again: at once, later, signed anew, after a restart', async () => {
  const old = bed.encoded(1, Date.now() - 3_600_000);
  const young = bed.encoded(2);
  const both = async () => {
    for (let i = 0; i < 3; i++) {
      await bed.publish(agentOf(1), subjectOf(agentOf(1)), old);
      await bed.publish(agentOf(2), subjectOf(agentOf(2)), young);
    }
  };
  await both();
  const first = await bed.start();
  expect(await first.caughtUp()).toMatchObject({ observations: 2 });
  await both();
  const anew = bed.encoded(1);
  await bed.publish(agentOf(1), subjectOf(agentOf(1)), anew);
  expect(await first.caughtUp()).toMatchObject({ observations: 3 });
  expect((await first.get<Status>('/status')).streams.observations).toMatchObject({
    stored: 3,
    repeated: 10,
  });
  await first.stop();
  const second = await bed.start();
  await both();
  expect(await second.caughtUp()).toMatchObject({ observations: 3 });
  expect((await second.get<Status>('/status')).streams.observations).toMatchObject({
    stored: 0,
    repeated: 6,
  });
  await second.stop();
});

it('stores a record once that comes again at another place, as coordinators offer it to another leader', async () => {
  const record = Decision.encode(makeDecision(1, Date.now())).finish();
  const again = () => bed.publish('va1', 'mecai.decision.va1', record);
  await again();
  const first = await bed.start();
  expect(await first.caughtUp()).toMatchObject({ decisions: 1 });
  await again();
  expect(await first.caughtUp()).toMatchObject({ decisions: 1 });
  await first.stop();
  await again();
  const second = await bed.start();
  expect(await second.caughtUp()).toMatchObject({ decisions: 1 });
  await second.stop();
});

it('waits for a store that another process holds, and loses nothing meanwhile', async () => {
  await many(0, 100, bed.publishObservation);
  const holder = await bed.start();
  await holder.caughtUp();
  const second = await bed.start();
  await second.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.length === 1);
  expect(await second.get('/readyz')).toEqual({ ready: false, missing: ['store'] });
  expect(await second.get('/counts')).toMatchObject({ status: 503 });
  // The one without the store leaves them to the other.
  await many(100, 300, bed.publishObservation);
  await holder.stop();
  await second.until('/readyz', (_, code) => code === 200);
  expect(await second.caughtUp()).toMatchObject({ observations: 300 });
  expect(second.log()).toContain('in use by another process');
  await second.stop();
});

it('goes on though as much is pending elsewhere as was allowed', async () => {
  const manager = await bed.manager();
  await manager.consumers.add('OBSERVATIONS', {
    durable_name: 'analytics',
    ack_policy: AckPolicy.Explicit,
    ack_wait: 600e9,
    max_ack_pending: 400,
  });
  await many(0, 500, bed.publishObservation);
  // A predecessor that took all it could and died: nothing of that comes again for ten minutes.
  const operator = await jetstream(bed.as('operator')).consumers.get('OBSERVATIONS', 'analytics');
  let taken = 0;
  for await (const _ of await operator.fetch({ max_messages: 400, expires: 5000 })) taken++;
  expect(taken).toBe(400);
  const analytics = await bed.start({ redeliverMs: 600_000 });
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored === 100);
  expect((await manager.consumers.info('OBSERVATIONS', 'analytics')).num_ack_pending).toBe(400);
  await analytics.stop();
});

it('waits for a nats-server that is absent at the start', async () => {
  await many(0, 50, bed.publishObservation);
  await bed.network.nats.stop();
  const analytics = await bed.start();
  await analytics.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.length === 1);
  expect(await analytics.get('/readyz')).toEqual({ ready: false, missing: ['nats'] });
  expect((await analytics.get<Status>('/status')).streams.observations.waiting).toBe(null);
  await bed.network.nats.restart();
  await analytics.until('/readyz', (_, code) => code === 200);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 50 });
  await analytics.stop();
});

it('keeps on taking while its store is gone, and stores it all once it is back', async () => {
  const { child, port } = await startClickHouse(join(bed.directory, 'served'));
  const analytics = await bed.start({ store: { kind: 'server', url: `http://127.0.0.1:${port}` } });
  await many(0, 500, bed.publishObservation);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 500 });
  const publishing = many(500, 1500, bed.publishObservation, 8);
  const dead = once(child, 'exit');
  child.kill('SIGKILL');
  await dead;
  await publishing;
  await analytics.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.includes('store'));
  // No more is taken than two batches; the rest waits in the stream.
  const { streams } = await analytics.until<Status>(
    '/status',
    (status) => status.streams.observations.underWay > 0,
  );
  expect(streams.observations.underWay).toBeLessThanOrEqual(400);
  const again = await startClickHouse(join(bed.directory, 'served'), port);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1500 });
  await analytics.stop();
  again.child.kill('SIGKILL');
});

it('ends at once without a store, and leaves everything to be handed out again', async () => {
  const without = await bed.start({
    store: { kind: 'server', url: 'http://127.0.0.1:1' },
    redeliverMs: 1000,
  });
  await many(0, 20, bed.publishObservation);
  await without.until<Status>('/status', ({ streams }) => streams.observations.underWay === 20);
  expect(await without.stop()).toBe(0);
  const analytics = await bed.start();
  expect(await analytics.caughtUp()).toMatchObject({ observations: 20 });
  await analytics.stop();
});

it('follows streams that are deleted and made again', async () => {
  const analytics = await bed.start();
  await many(0, 50, bed.publishObservation);
  await analytics.caughtUp();
  const manager = await bed.manager();
  await manager.streams.delete('OBSERVATIONS');
  await ensureStreams(manager);
  await many(50, 80, bed.publishObservation);
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored === 80);
  await analytics.stop();
});

it('stores and acknowledges what it has taken before it ends', async () => {
  const analytics = await bed.start({ batch: { rows: 5000, ms: 10_000 }, redeliverMs: 30_000 });
  await analytics.until('/readyz', (_, code) => code === 200);
  await many(0, 300, bed.publishObservation);
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.underWay === 300);
  expect(await analytics.get('/counts')).toMatchObject({ observations: 0 });
  expect(await analytics.stop()).toBe(0);
  const manager = await bed.manager();
  expect((await manager.streams.info('OBSERVATIONS')).state.messages).toBe(0);
  const again = await bed.start();
  expect(await again.caughtUp()).toMatchObject({ observations: 300 });
  await again.stop();
});
