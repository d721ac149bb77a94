import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { parseAgent, verifyRoundTrip } from '@mecai/corroboration';
import { Echo, subjects } from '@mecai/proto';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RoundTrips } from './round-trips.ts';
import { type TestNats, startTestNats } from './testing/nats.ts';

const patience = { timeout: 20_000 };
const keys = {
  oslo: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  lima: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const agentOf = (name: 'oslo' | 'lima') =>
  parseAgent(
    {
      name,
      publicKey: keys[name].publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      city: name,
      country: 'XX',
      latitude: 0,
      longitude: 0,
      rir: 'arin',
      asn: 1,
    },
    name,
  );

let nats: TestNats;
let oslo: NatsConnection;
let lima: NatsConnection;
let now: number;

beforeAll(async () => {
  nats = await startTestNats();
});
afterAll(() => nats.close());
beforeEach(async () => {
  now = 1_000;
  oslo = await nats.as('oslo');
  lima = await nats.as('lima');
});

async function measuring(name: 'oslo' | 'lima', connection: NatsConnection) {
  const { privateKey: key } = keys[name];
  const trips = new RoundTrips({ nats: connection, name, key, now: () => now, randomBytes });
  await connection.flush();
  return trips;
}
/** Question and answer have arrived: NATS keeps the order of a connection, and each of both goes over both. */
const settled = async () => {
  for (let i = 0; i < 3; i++) for (const one of [oslo, lima]) await one.flush();
};

describe('round trips', () => {
  it('are measured from the question to the answer, and both have signed', async () => {
    const trips = await measuring('oslo', oslo);
    await measuring('lima', lima);
    expect(trips.next()).toBeUndefined();
    trips.ask();
    now += 12.3456;
    await expect.poll(() => trips.next(), patience).toBeDefined();
    const trip = trips.next()!;
    expect(trip).toMatchObject({ peer: 'lima', micros: 12_346 });
    expect(verifyRoundTrip(agentOf('oslo'), agentOf('lima'), trip)).toBe(true);
    await Promise.all([oslo.close(), lima.close()]);
  });

  it('the shortest of an hour stays', async () => {
    const trips = await measuring('oslo', oslo);
    await measuring('lima', lima);
    const measure = async (ms: number) => {
      trips.ask();
      now += ms;
      await settled();
      now += 1_000;
    };
    await measure(20);
    await measure(10);
    await measure(30);
    expect(trips.next()).toMatchObject({ micros: 10_000 });
    now += 3_600_000;
    expect(trips.next()).toBeUndefined();
    await measure(40);
    expect(trips.next()).toMatchObject({ micros: 40_000 });
    await Promise.all([oslo.close(), lima.close()]);
  });

  it('an answer counts for its own question, and only from who may give it', async () => {
    const trips = await measuring('oslo', oslo);
    const asked: Uint8Array[] = [];
    lima.subscribe(subjects.echo('*'), { callback: (_, { data }) => void asked.push(data) });
    await lima.flush();
    trips.ask();
    for (let i = 0; i < 16; i++) {
      now += 50;
      trips.ask();
    }
    await expect.poll(() => asked.length, patience).toBe(17);
    const answer = (nonce: Uint8Array, signature = new Uint8Array(70), as = 'lima') =>
      lima.publish(subjects.echoed('oslo', as), Echo.encode({ nonce, signature }).finish());
    // Forgotten by now.
    answer(asked[0]!);
    answer(new Uint8Array(32));
    answer(new Uint8Array());
    answer(asked[16]!, new Uint8Array(73));
    // nats-server refuses another's name.
    answer(asked[16]!, new Uint8Array(70), 'oslo');
    lima.publish(subjects.echoed('oslo', 'lima'), Uint8Array.of(0xff));
    await settled();
    expect(trips.next()).toBeUndefined();
    answer(asked[13]!);
    await expect.poll(() => trips.next(), patience).toMatchObject({ peer: 'lima', micros: 150_000 });
    await Promise.all([oslo.close(), lima.close()]);
  });

  it('who asks without end is answered ten times a second, and nonsense never', async () => {
    await measuring('oslo', oslo);
    let answers = 0;
    lima.subscribe(subjects.echoed('lima', '*'), { callback: () => void answers++ });
    for (let i = 0; i < 50; i++) lima.publish(subjects.echo('lima'), randomBytes(32));
    await settled();
    expect(answers).toBe(1);
    now += 100;
    lima.publish(subjects.echo('lima'), randomBytes(31));
    lima.publish(subjects.echo('lima'), new Uint8Array());
    await settled();
    lima.publish(subjects.echo('lima'), randomBytes(32));
    await expect.poll(() => answers, patience).toBe(2);
    await Promise.all([oslo.close(), lima.close()]);
  });
});
