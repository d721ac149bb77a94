import { randomBytes } from 'node:crypto';
import { Decision, type Mismatch, ensureStreams } from '@mecai/proto';
import { keepStored } from '@mecai/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Records } from './records.ts';
import { StreamPublisher } from './stream-publisher.ts';
import { keptLog } from './testing/log.ts';
import { type TestNats, coordinatorName, startTestNats } from './testing/nats.ts';

let nats: TestNats;
let records: Records;
let connected: boolean;
const { log, lines } = keptLog();
const open = async (keepStored = { ms: 90_000, octets: 1_000_000 }) =>
  new Records(
    new StreamPublisher(await nats.as(coordinatorName), coordinatorName),
    coordinatorName,
    log,
    () => connected,
    {
      keepStored,
      capacity: 5,
    },
  );
/** Another leader, who has none of what was acknowledged. */
const forgetAll = async () => {
  await nats.jsm.streams.delete('RECORDS');
  await ensureStreams(nats.jsm);
};
beforeEach(async () => {
  nats = await startTestNats();
  connected = true;
  records = await open();
  lines.length = 0;
});
afterEach(() => nats.close());

const decision = (detail = ''): Decision => ({
  nonce: randomBytes(32),
  decidedAt: 1,
  coordinator: coordinatorName,
  targets: [],
  chain: [],
  status: 'issued',
  reason: '',
  detail,
  perspectives: [],
  voucher: Uint8Array.of(1),
  requester: new Uint8Array(4),
  authenticated: false,
  auditSequence: 1,
  signer: '',
});
const mismatch = (agent: string): Mismatch => ({
  nonce: new Uint8Array(32),
  seenAt: 1,
  coordinator: coordinatorName,
  agent,
  target: undefined,
  expected: [],
  observed: [],
  evidence: undefined,
});
const details = async () =>
  (await nats.stored('RECORDS', 'mecai.decision.')).map((bytes) => Decision.decode(bytes).detail).toSorted();

describe('a decision', () => {
  it('is stored when the promise resolves', async () => {
    await records.decision(decision('one'));
    expect(await details()).toEqual(['one']);
  });

  it('published again is stored once', async () => {
    const one = decision('one');
    await records.decision(one);
    await records.decision(one);
    records.later({ decision: one });
    await records.drain(5_000);
    expect(await details()).toEqual(['one']);
  });

  it('is not confirmed while NATS stands still, and is stored once when it goes on', async () => {
    nats.server.pause();
    let stored = false;
    const storing = records.decision(decision('one')).then(() => (stored = true));
    // Longer than one attempt: it has been published twice when the server goes on.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(stored).toBe(false);
    nats.server.resume();
    await storing;
    expect(await details()).toEqual(['one']);
  });

  it('that no node of the cluster takes is offered until one does', async () => {
    await nats.jsm.streams.delete('RECORDS');
    const storing = records.decision(decision('one'));
    // Longer than three refusals take.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await ensureStreams(nats.jsm);
    await storing;
    expect(await details()).toEqual(['one']);
  });

  it('that JetStream refuses is an error soon when NATS is away', async () => {
    await nats.jsm.streams.delete('RECORDS');
    connected = false;
    const begun = performance.now();
    await expect(records.decision(decision())).rejects.toMatchObject({
      code: 'record-not-stored',
      message: 'the audit record could not be stored',
    });
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});

describe('records that are stored', () => {
  it('are offered to another leader: all that it lacks, and nothing twice', async () => {
    const many = Array.from({ length: 200 }, (_, i) => decision(String(i)));
    for (const one of many) await records.decision(one);
    await records.offerAgain();
    expect(await nats.stored('RECORDS')).toHaveLength(200);
    await forgetAll();
    await records.offerAgain();
    expect(await details()).toEqual(many.map(({ detail }) => detail).toSorted());
  });

  it('are offered again when sequence numbers go back', async () => {
    for (const one of ['one', 'two']) await records.decision(decision(one));
    await forgetAll();
    await records.decision(decision('three'));
    await vi.waitUntil(async () => (await details()).length === 3, { timeout: 60_000 });
    expect(await details()).toEqual(['one', 'three', 'two']);
  });

  it('are offered until a leader takes them, unless it stops', async () => {
    await records.decision(decision('one'));
    await nats.jsm.streams.delete('RECORDS');
    const offering = records.offerAgain();
    await vi.waitUntil(() => lines.length > 0, { timeout: 60_000 });
    await ensureStreams(nats.jsm);
    await offering;
    expect(await details()).toEqual(['one']);
    await nats.jsm.streams.delete('RECORDS');
    const inVain = records.offerAgain();
    await records.drain(10_000);
    await inVain;
  });

  it('are kept within bounds', async () => {
    const one = decision('one');
    const two = decision('two');
    const octets = Decision.encode(two).finish().length;
    records = await open({ ms: 90_000, octets });
    for (const some of [one, two]) await records.decision(some);
    await forgetAll();
    await records.offerAgain();
    expect(await details()).toEqual(['two']);
  });
});

it('message ids are known for longer than a record is kept and offered', async () => {
  const { ms } = keepStored(0).parse({ ms: 100_000 });
  expect(keepStored(0).safeParse({ ms: ms + 1 }).success).toBe(false);
  for (const stream of ['RECORDS', 'OBSERVATIONS']) {
    const { config } = await nats.jsm.streams.info(stream);
    // A record may be offered for as long as an election takes, and twice.
    expect(config.duplicate_window / 1e6).toBeGreaterThanOrEqual(ms + 20_000);
  }
  await nats.jsm.streams.update('RECORDS', { duplicate_window: 60e9 });
  expect(await ensureStreams(nats.jsm)).toEqual([
    { stream: 'RECORDS', limit: 'duplicateWindowMs', has: 60_000, wanted: 120_000 },
  ]);
});

describe('records that nobody waits for', () => {
  it('are offered until they are stored, and the outage is told once', async () => {
    await nats.jsm.streams.delete('RECORDS');
    for (const agent of ['oslo', 'rome']) records.later({ mismatch: mismatch(agent) });
    records.later({ decision: decision('refused') });
    await vi.waitUntil(() => lines.length > 0, { timeout: 60_000 });
    expect(records.unconfirmed).toBe(3);
    await nats.jsm.streams.add({ name: 'RECORDS', subjects: ['mecai.decision.>', 'mecai.mismatch.>'] });
    await records.drain(5_000);
    expect(records.unconfirmed).toBe(0);
    expect(await nats.stored('RECORDS')).toHaveLength(3);
    expect(lines.map(({ message }) => message)).toEqual([
      'records are not being stored',
      'records are stored again',
    ]);
  });

  it('outlive NATS being killed', async () => {
    nats.server.kill();
    records.later({ decision: decision('kept') });
    await nats.server.restart();
    await records.drain(10_000);
    expect(records.unconfirmed).toBe(0);
    await vi.waitUntil(async () => (await details().catch(() => [])).length === 1, { timeout: 60_000 });
  });

  it('of one agent about one target are one', async () => {
    records.later({ mismatch: mismatch('oslo') });
    records.later({ mismatch: mismatch('oslo') });
    records.later({ mismatch: mismatch('rome') });
    await records.drain(5_000);
    expect(await nats.stored('RECORDS', 'mecai.mismatch.')).toHaveLength(2);
  });

  it('beyond the capacity push out the oldest, which is logged and counted', async () => {
    await nats.jsm.streams.delete('RECORDS');
    for (let i = 0; i < 7; i++) records.later({ decision: decision(String(i)) });
    expect([records.unconfirmed, records.dropped]).toEqual([5, 2]);
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(2);
    await nats.jsm.streams.add({ name: 'RECORDS', subjects: ['mecai.decision.>', 'mecai.mismatch.>'] });
    await records.drain(5_000);
    expect((await details()).filter((one) => Number(one) >= 2)).toEqual(['2', '3', '4', '5', '6']);
  });

  it('that are still there when the time to stop has come are told of', async () => {
    nats.server.kill();
    records.later({ decision: decision() });
    await records.drain(50);
    expect(lines.at(-1)).toMatchObject({
      level: 'error',
      members: { lost: 1 },
      message: 'records not stored',
    });
  });
});
