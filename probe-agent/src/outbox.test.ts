import { randomBytes } from 'node:crypto';
import { signObservation } from '@mecai/corroboration';
import { Observation, SignedObservation, ensureStreams, streams, subjects } from '@mecai/proto';
import { testKey } from '@mecai/voucher/testing';
import type { Msg, Subscription, SubscriptionOptions } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer } from './observe.ts';
import { Outbox } from './outbox.ts';
import { keptLog } from './testing/log.ts';
import { type TestNats, startTestNats } from './testing/nats.ts';

const key = testKey().privateKey;
const answer = (second = 0): Omit<Answer, 'observation'> => ({
  coordinator: 'va1',
  campaign: false,
  signed: signObservation(
    {
      nonce: randomBytes(32),
      agent: 'oslo',
      target: undefined,
      observedAt: second,
      chain: [randomBytes(2_000)],
      possessionProven: true,
      tls: undefined,
      ocsp: [],
      sctLists: [],
      timings: undefined,
      failure: undefined,
    },
    key,
  ),
});

const keepStored = { ms: 90_000, octets: 1_000_000 };
let nats: TestNats;
let outbox: Outbox;
const { log, lines } = keptLog();
/** Another leader, who has none of what was confirmed. */
const forgetAll = async () => {
  await nats.jsm.streams.delete(streams.observations.name);
  await ensureStreams(nats.jsm);
};
const times = async () => (await nats.stored()).map(({ observedAt }) => observedAt).toSorted((a, b) => a - b);

beforeEach(async () => {
  nats = await startTestNats();
  const connection = await nats.as('oslo');
  outbox = new Outbox(connection, 'oslo', log, { capacity: 50, keepStored });
  void (async () => {
    for await (const { type } of connection.status()) if (type === 'reconnect') outbox.offerAgain();
  })();
  lines.length = 0;
});
afterEach(() => nats.close());

describe('observations', () => {
  it('reach coordinator and stream as one message', async () => {
    const va1 = await nats.as('va1');
    const heard = Promise.withResolvers<Uint8Array>();
    va1.subscribe(subjects.observation('oslo', 'va1'), {
      callback: (_, message) => heard.resolve(message.data),
    });
    await va1.flush();
    const one = answer(7);
    outbox.send(one);
    expect(Buffer.from(await heard.promise)).toEqual(
      Buffer.from(SignedObservation.encode(one.signed).finish()),
    );
    await outbox.drain(5_000);
    expect(await times()).toEqual([7]);
    expect(outbox.unconfirmed).toBe(0);
  });

  it('sent twice are heard twice, and stored once', async () => {
    const va1 = await nats.as('va1');
    const heard: Uint8Array[] = [];
    va1.subscribe(subjects.observation('oslo', 'va1'), {
      callback: (_, message) => void heard.push(message.data),
    });
    await va1.flush();
    const one = answer(8);
    outbox.send(one);
    await expect.poll(() => heard.length, { timeout: 60_000 }).toBe(1);
    await outbox.drain(60_000);
    outbox.send(one);
    await expect.poll(() => heard.length, { timeout: 60_000 }).toBe(2);
    await outbox.drain(60_000);
    expect(Buffer.compare(heard[0]!, heard[1]!)).toBe(0);
    expect(await times()).toEqual([8]);
  });

  it('of one turn of the event loop leave together', async () => {
    const flushes: number[] = [];
    let written = 0;
    // The NATS client writes what was published when the turn's microtasks run.
    const publish = () => {
      if (written++ === 0) queueMicrotask(() => flushes.push(written));
    };
    const connection = await nats.as('oslo');
    const subscribe = connection.subscribe.bind(connection);
    const one = new Outbox({ publish, subscribe }, 'oslo', log, { capacity: 50, keepStored });
    for (let second = 1; second <= 3; second++) {
      one.send(answer(second));
      await Promise.resolve();
    }
    await new Promise(setImmediate);
    await one.drain(0);
    expect(flushes).toEqual([3]);
  });

  it('are kept while NATS is gone, and stored once each when it is back', async () => {
    outbox.send(answer(1));
    await outbox.drain(5_000);
    nats.server.kill();
    for (let second = 2; second <= 20; second++) outbox.send(answer(second));
    expect(outbox.unconfirmed).toBe(19);
    await nats.server.restart();
    await outbox.drain(10_000);
    expect(outbox.unconfirmed).toBe(0);
    expect(await times()).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(outbox.dropped).toBe(0);
  });

  it('under way when NATS stands still are stored once each when it goes on', async () => {
    nats.server.pause();
    for (let second = 1; second <= 5; second++) outbox.send(answer(second));
    outbox.offerAgain();
    outbox.offerAgain();
    nats.server.resume();
    await outbox.drain(5_000);
    expect(await times()).toEqual([1, 2, 3, 4, 5]);
  });

  it('refused by JetStream are offered until it takes them, and the outage is told once', async () => {
    await nats.jsm.streams.delete(streams.observations.name);
    for (let second = 1; second <= 3; second++) outbox.send(answer(second));
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(lines).toMatchObject([{ level: 'warn', message: 'observations are not stored' }]);
    await nats.jsm.streams.add({
      name: streams.observations.name,
      subjects: [...streams.observations.subjects],
    });
    await outbox.drain(5_000);
    expect(await times()).toEqual([1, 2, 3]);
    expect(lines.map(({ message }) => message)).toEqual([
      'observations are not stored',
      'observations are stored again',
    ]);
  });

  it('that do not fit into the stream are offered until they do', async () => {
    const { name, subjects: own } = streams.observations;
    await nats.jsm.streams.delete(name);
    await nats.jsm.streams.add({ name, subjects: [...own], max_msgs: 1, discard: 'new' });
    outbox.send(answer(1));
    outbox.send(answer(2));
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(lines).toMatchObject([{ members: { reason: 'maximum messages exceeded', unconfirmed: 1 } }]);
    await nats.jsm.streams.update(name, { max_msgs: 10 });
    await outbox.drain(5_000);
    expect(await times()).toEqual([1, 2]);
  });

  it('count as stored only by an answer that says so, and to the last offer a refusal', async () => {
    const replies: string[] = [];
    let answered: SubscriptionOptions['callback'];
    const connection = {
      publish: (_: string, __: unknown, { reply = '' }: { reply?: string } = {}) => void replies.push(reply),
      subscribe: (_: string, options: SubscriptionOptions = {}) => {
        answered = options.callback;
        return {} as Subscription;
      },
    };
    const one = new Outbox(connection, 'oslo', log, { capacity: 50, keepStored });
    const say = (subject: string, text: string) =>
      void answered!(null, { subject, json: () => JSON.parse(text) as unknown } as Msg);
    one.send(answer(1));
    await new Promise(setImmediate);
    one.offerAgain();
    const [first, second] = replies as [string, string];
    for (const text of ['', 'null', '{}', '{"stream":""}', '{"error":{}}']) say(first, text);
    void answered!(new Error('permission'), {} as Msg);
    say('_INBOX.oslo.other.1.1', '{"stream":"S","seq":1}');
    expect(lines).toEqual([]);
    say(second, '{"error":{"description":"full"}}');
    expect(lines).toMatchObject([{ members: { reason: 'full' } }]);
    expect(one.unconfirmed).toBe(1);
    say(first, '{"stream":"S","seq":1}');
    expect(one.unconfirmed).toBe(0);
    say(second, '{"stream":"S","seq":1,"duplicate":true}');
    expect(one.unconfirmed).toBe(0);
  });

  it('beyond the capacity push out the oldest, which is logged and counted', async () => {
    nats.server.kill();
    for (let second = 1; second <= 53; second++) outbox.send(answer(second));
    expect([outbox.unconfirmed, outbox.dropped]).toEqual([50, 3]);
    expect(lines.filter(({ level }) => level === 'error')).toMatchObject([
      { members: { dropped: 1 } },
      { members: { dropped: 2 } },
      { members: { dropped: 3 }, message: 'outbox full: an observation is lost' },
    ]);
    await nats.server.restart();
    await outbox.drain(10_000);
    const found = await times();
    // What was pushed out may have been sent before the connection broke.
    expect(found.slice(-50)).toEqual(Array.from({ length: 50 }, (_, i) => i + 4));
  });

  it('sent twice are stored once', async () => {
    const one = answer(1);
    outbox.send(one);
    outbox.send(one);
    await outbox.drain(5_000);
    outbox.send(one);
    await outbox.drain(5_000);
    expect(await times()).toEqual([1]);
  });

  it('that nobody confirms are told of when the time to stop has come', async () => {
    nats.server.kill();
    outbox.send(answer(1));
    await outbox.drain(50);
    expect(lines.at(-1)).toMatchObject({ level: 'error', members: { lost: 1 } });
    expect(outbox.unconfirmed).toBe(0);
  });

  it('are offered to another leader: all that it lacks, nothing twice, and they count as confirmed', async () => {
    const all = Array.from({ length: 200 }, (_, i) => i + 1);
    for (let next = 0; next < all.length; next += 50) {
      for (const second of all.slice(next, next + 50)) outbox.send(answer(second));
      await expect.poll(() => outbox.unconfirmed, { timeout: 60_000 }).toBe(0);
    }
    outbox.offerStored();
    expect(outbox.unconfirmed).toBe(0);
    outbox.send(answer(201));
    await expect.poll(times, { timeout: 60_000 }).toEqual([...all, 201]);
    await forgetAll();
    outbox.offerStored();
    await expect.poll(times, { timeout: 60_000 }).toEqual([...all, 201]);
    expect(outbox.dropped).toBe(0);
  });

  it('are offered again when sequence numbers go back', async () => {
    for (const second of [1, 2]) outbox.send(answer(second));
    await expect.poll(() => outbox.unconfirmed, { timeout: 60_000 }).toBe(0);
    await forgetAll();
    outbox.send(answer(3));
    await expect.poll(times, { timeout: 60_000 }).toEqual([1, 2, 3]);
  });

  it('are kept within so many octets, the newest', async () => {
    const small = new Outbox(await nats.as('oslo'), 'oslo', log, {
      capacity: 50,
      keepStored: { ms: 90_000, octets: 5_000 },
    });
    for (const second of [1, 2, 3, 4]) {
      small.send(answer(second));
      await expect.poll(() => small.unconfirmed, { timeout: 60_000 }).toBe(0);
    }
    await forgetAll();
    small.offerStored();
    await expect.poll(times, { timeout: 60_000 }).toEqual([3, 4]);
    await small.drain(60_000);
  });

  it('that are offered once more are not waited for at the end', async () => {
    for (const second of [1, 2]) outbox.send(answer(second));
    await expect.poll(() => outbox.unconfirmed, { timeout: 60_000 }).toBe(0);
    nats.server.pause();
    outbox.offerStored();
    const since = performance.now();
    await outbox.drain(60_000);
    expect(performance.now() - since).toBeLessThan(30_000);
    nats.server.resume();
    expect(lines).toEqual([]);
  });

  it('decode to what was signed', async () => {
    const one = answer(3);
    outbox.send(one);
    await outbox.drain(5_000);
    expect(await nats.stored()).toEqual([Observation.decode(one.signed.observation)]);
  });
});
