import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Decision, Mismatch, SignedObservation, ensureStreams } from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { ObservationRow } from './rows.ts';
import { Store } from './store.ts';
import {
  type TestNetwork,
  agentNames,
  encodeObservation,
  makeDecision,
  makeObservation,
  nonceOf,
  startNetwork,
  subjectOf,
} from './testing/network.ts';
import { type AnalyticsProcess, type Status, startClickHouse, startProcess } from './testing/process.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-analytics-'));
let network: TestNetwork;
const connections = new Map<string, NatsConnection>();
let directory: string;
const running: AnalyticsProcess[] = [];
let round = 0;

beforeAll(async () => {
  network = await startNetwork(root);
  for (const name of [...agentNames, 'va1', 'operator']) connections.set(name, await network.as(name));
});
beforeEach(async () => {
  directory = join(root, String(round++));
  mkdirSync(directory);
  const manager = await jetstreamManager(connections.get('operator')!);
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  await ensureStreams(manager);
});
afterEach(async () => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  for (const connection of connections.values()) await connection.close();
  await network.nats.stop();
  rmSync(root, { recursive: true, force: true });
});

async function start(options: Record<string, unknown> = {}): Promise<AnalyticsProcess> {
  const started = await startProcess(directory, {
    nats: { url: network.nats.url, seedFile: network.seedFile },
    registry: network.registry,
    store: { kind: 'embedded', directory: 'store' },
    batch: { rows: 200, ms: 20 },
    redeliverMs: 1000,
    ...options,
  });
  running.push(started);
  return started;
}

const agentOf = (n: number) => agentNames[n % agentNames.length]!;
const encoded = (n: number, at = Date.now()) =>
  encodeObservation(makeObservation(network, n, agentOf(n), at), network.keys.get(agentOf(n))!);

/** Publishes until acknowledged, as an agent does: by message id, so that a repetition is none. */
async function publish(name: string, subject: string, data: Uint8Array, msgID?: string): Promise<void> {
  for (;;) {
    try {
      await jetstream(connections.get(name)!, { timeout: 500 }).publish(
        subject,
        data,
        msgID ? { msgID } : {},
      );
      return;
    } catch {
      await delay(20);
    }
  }
}
const publishObservation = (n: number) =>
  publish(agentOf(n), subjectOf(agentOf(n)), encoded(n), `observation ${n}`);
const publishDecision = (n: number) =>
  publish(
    'va1',
    'mecai.decision.va1',
    Decision.encode(makeDecision(n, Date.now())).finish(),
    `decision ${n}`,
  );

async function publishMany(from: number, to: number, each: (n: number) => Promise<void>, outstanding = 32) {
  let next = from;
  const lane = async () => {
    while (next < to) await each(next++);
  };
  await Promise.all(Array.from({ length: outstanding }, lane));
}

it('stores observation, certificate, decision and mismatch, and serves them', async () => {
  const analytics = await start();
  const at = Date.now();
  const observation = makeObservation(network, 1, 'oslo', at);
  const evidence = encodeObservation(observation, network.keys.get('oslo')!);
  await publish('oslo', subjectOf('oslo'), evidence);
  await publishDecision(1);
  const mismatch: Mismatch = {
    nonce: nonceOf(1),
    seenAt: at,
    coordinator: 'va1',
    agent: 'oslo',
    target: observation.target,
    expected: [nonceOf(9)],
    observed: observation.chain,
    evidence: SignedObservation.decode(evidence),
  };
  await publish('va1', 'mecai.mismatch.va1', Mismatch.encode(mismatch).finish());
  expect(await analytics.caughtUp()).toEqual({
    observations: 1,
    certificates: 1,
    decisions: 1,
    mismatches: 1,
  });
  const rows = await analytics.get<ObservationRow[]>(`/observations?nonce=${nonceOf(1).toString('hex')}`);
  expect(rows).toEqual([
    expect.objectContaining({
      observed_at: at,
      agent: 'oslo',
      coordinator: 'va1',
      country: 'NO',
      rir: 'ripencc',
      city: 'Oslo',
      asn: 64_501,
      address: '192.0.2.1',
      port: 443,
      server_name: 'site1.example',
      key_type: 'ecdsa',
      leaf_key: 'rsa-2048',
      issuer: 'O=Example\\, Inc., CN=site1.example',
      possession_proven: true,
      tls_version: 772,
      signature_scheme: 0x0403,
      alpn: 'h2',
      error_class: '',
      alert: null,
      connect_us: 1001,
      end_us: 4000,
    }),
  ]);
  expect(await analytics.get('/readyz')).toEqual({ ready: true, missing: [] });
  expect(await analytics.stop()).toBe(0);
});

it('counts exactly though it is killed again and again', { timeout: 120_000 }, async () => {
  const perRound = 600;
  const rounds = 7;
  let published = 0;
  for (let i = 0; i < rounds; i++) {
    const analytics = await start();
    await analytics.until('/readyz', (_, code) => code === 200);
    const from = published;
    published += perRound;
    const publishing = publishMany(from, published, publishObservation, 8);
    const deciding = publishMany(i * 20, i * 20 + 20, publishDecision, 1);
    await delay(randomInt(30, 500));
    await analytics.kill();
    await Promise.all([publishing, deciding]);
  }
  const analytics = await start();
  expect(await analytics.caughtUp()).toEqual({
    observations: published,
    certificates: 2,
    decisions: rounds * 20,
    mismatches: 0,
  });
  const { streams } = await analytics.get<Status>('/status');
  console.log('killed', rounds, 'times; last process:', JSON.stringify(streams.observations));
  for (const n of [0, 1, published - 1]) {
    expect(await analytics.get(`/observations?nonce=${nonceOf(n).toString('hex')}`)).toHaveLength(1);
  }
  expect(await analytics.stop()).toBe(0);
});

it('counts exactly though nats-server is killed and restarted', { timeout: 120_000 }, async () => {
  const analytics = await start();
  await analytics.until('/readyz', (_, code) => code === 200);
  const total = 5000;
  const publishing = publishMany(0, total, publishObservation, 8);
  const deciding = publishMany(0, 100, publishDecision, 1);
  for (let i = 0; i < 5; i++) {
    await delay(randomInt(50, 300));
    network.nats.kill();
    await network.nats.restart();
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
  const old = encoded(1, Date.now() - 3_600_000);
  const young = encoded(2);
  const both = async () => {
    for (let i = 0; i < 3; i++) {
      await publish(agentOf(1), subjectOf(agentOf(1)), old);
      await publish(agentOf(2), subjectOf(agentOf(2)), young);
    }
  };
  await both();
  const first = await start();
  expect(await first.caughtUp()).toMatchObject({ observations: 2 });
  await both();
  const anew = encoded(1);
  await publish(agentOf(1), subjectOf(agentOf(1)), anew);
  expect(await first.caughtUp()).toMatchObject({ observations: 3 });
  expect((await first.get<Status>('/status')).streams.observations).toMatchObject({
    stored: 3,
    repeated: 10,
  });
  await first.stop();
  const second = await start();
  await both();
  expect(await second.caughtUp()).toMatchObject({ observations: 3 });
  expect((await second.get<Status>('/status')).streams.observations).toMatchObject({
    stored: 0,
    repeated: 6,
  });
  await second.stop();
});

it('puts poison aside, with the reason, and goes on', async () => {
  const lima = network.keys.get('lima')!;
  const observation = makeObservation(network, 1, 'lima', Date.now());
  const forged = SignedObservation.decode(encodeObservation(observation, lima));
  const encode = (changes: Partial<typeof observation>) =>
    encodeObservation({ ...observation, ...changes }, lima);
  const poison: [string, Uint8Array][] = [
    ['malformed', Buffer.from('no protobuf')],
    ['malformed', encode({ nonce: new Uint8Array(31) })],
    ['malformed', encode({ target: undefined })],
    ['malformed', encode({ target: { ...observation.target!, port: 65_536 } })],
    ['malformed', encode({ target: { ...observation.target!, address: new Uint8Array(5) } })],
    ['malformed', encode({ observedAt: Number.MAX_SAFE_INTEGER })],
    ['malformed', encode({ failure: { class: 'alert', alert: 256, detail: '' } })],
    ['too-large', encode({ chain: Array.from({ length: 101 }, () => new Uint8Array(1)) })],
    ['too-large', encode({ target: { ...observation.target!, serverName: 'x'.repeat(254) } })],
    ['other-sender', new Uint8Array(0)],
    ['other-sender', encode({ agent: 'oslo' })],
    ['bad-signature', encodeObservation(observation, network.keys.get('oslo')!)],
    ['bad-signature', SignedObservation.encode({ ...forged, signature: new Uint8Array(0) }).finish()],
    ['malformed', new Uint8Array(500_000).fill(0xff)],
  ];
  for (const [, data] of poison) await publish('lima', subjectOf('lima'), data);
  await publish('va1', 'mecai.decision.va1', Buffer.from([0xff]));
  await publish('va1', 'mecai.mismatch.va1', new Uint8Array(0));
  await publish('lima', subjectOf('lima'), encodeObservation(observation, lima));
  const analytics = await start();
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1, decisions: 0, mismatches: 0 });

  const manager = await jetstreamManager(connections.get('operator')!);
  const { state } = await manager.streams.info('DEAD_LETTERS');
  expect(state.messages).toBe(poison.length + 2);
  const faults: string[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const letter = (await manager.streams.getMessage('DEAD_LETTERS', { seq }))!;
    expect(letter.subject).toBe('mecai.dead-letter.analytics');
    const [stream, sequence] = [
      letter.header.get('Mecai-Stream'),
      Number(letter.header.get('Mecai-Sequence')),
    ];
    if (stream === 'OBSERVATIONS') faults[sequence - 1] = letter.header.get('Mecai-Fault');
    if (Number(letter.header.get('Mecai-Size')) === 500_000) expect(letter.data.length).toBe(65_536);
  }
  expect(faults).toEqual(poison.map(([fault]) => fault));
  await analytics.stop();
});

it('waits for a store that another process holds, and loses nothing meanwhile', async () => {
  await publishMany(0, 100, publishObservation);
  const holder = await start();
  await holder.caughtUp();
  const second = await startProcess(join(directory), {
    nats: { url: network.nats.url, seedFile: network.seedFile },
    registry: network.registry,
    store: { kind: 'embedded', directory: 'store' },
    redeliverMs: 1000,
  });
  running.push(second);
  await second.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.length === 1);
  expect(await second.get('/readyz')).toEqual({ ready: false, missing: ['store'] });
  expect(await second.get('/counts')).toMatchObject({ status: 503 });
  // Handed to either: the one without a store keeps what it took until it has one.
  await publishMany(100, 300, publishObservation);
  await holder.stop();
  await second.until('/readyz', (_, code) => code === 200);
  expect(await second.caughtUp()).toMatchObject({ observations: 300 });
  expect(second.log()).toContain('in use by another process');
  await second.stop();
});

it('goes on though as much is pending elsewhere as was allowed', async () => {
  const manager = await jetstreamManager(connections.get('operator')!);
  await manager.consumers.add('OBSERVATIONS', {
    durable_name: 'analytics',
    ack_policy: AckPolicy.Explicit,
    ack_wait: 600e9,
    max_ack_pending: 400,
  });
  await publishMany(0, 500, publishObservation);
  // A predecessor that took all it could and died: nothing of that comes again for ten minutes.
  const operator = await jetstream(connections.get('operator')!).consumers.get('OBSERVATIONS', 'analytics');
  let taken = 0;
  for await (const _ of await operator.fetch({ max_messages: 400, expires: 5000 })) taken++;
  expect(taken).toBe(400);
  const analytics = await start({ redeliverMs: 600_000 });
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored === 100);
  expect((await manager.consumers.info('OBSERVATIONS', 'analytics')).num_ack_pending).toBe(400);
  await analytics.stop();
});

it('learns of agents that join while it runs, and keeps the registry it has when the new one is broken', async () => {
  const registry = join(directory, 'registry.json');
  const file = JSON.parse(readFileSync(network.registry, 'utf8')) as { version: number; agents: object[] };
  writeFileSync(registry, JSON.stringify({ version: 1, agents: file.agents.slice(0, 1) }));
  const analytics = await start({ registry });
  await publishObservation(0);
  await publishObservation(1);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1 });
  expect((await analytics.get<Status>('/status')).streams.observations.deadLetters).toBe(1);
  writeFileSync(registry, '{"version": ');
  await publish('oslo', subjectOf('oslo'), encoded(4));
  await publishObservation(3);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 2 });
  writeFileSync(registry, JSON.stringify({ ...file, version: 2 }));
  await publish('oslo', subjectOf('oslo'), encoded(4));
  expect(await analytics.caughtUp()).toMatchObject({ observations: 3 });
  await analytics.stop();
});

it('does with each option what it says', async () => {
  const analytics = await start({
    nats: { url: network.nats.url, seedFile: join(root, 'archive.seed'), name: 'archive' },
    batch: { rows: 123, ms: 20 },
    redeliverMs: 7000,
    retentionDays: 5,
    store: { kind: 'embedded', directory: 'elsewhere' },
  });
  await publish('lima', subjectOf('lima'), Buffer.from('poison'));
  await analytics.caughtUp();
  const manager = await jetstreamManager(connections.get('operator')!);
  const { config } = await manager.consumers.info('OBSERVATIONS', 'archive');
  expect(config).toMatchObject({ ack_wait: 7e9, max_ack_pending: 246 });
  const letter = await manager.streams.getMessage('DEAD_LETTERS', { seq: 1 });
  expect(letter?.subject).toBe('mecai.dead-letter.archive');
  expect(new URL(analytics.url).hostname).toBe('127.0.0.1');
  await analytics.stop();
  expect(readdirSync(directory)).toContain('elsewhere');
  const store = await Store.open(
    {
      store: { kind: 'embedded', directory: join(directory, 'elsewhere') },
      retentionDays: 5,
      insertMs: 1000,
    },
    createLogger('test', 'silent'),
  );
  const tables = await store.query<{ text: string }>(
    "SELECT create_table_query AS text FROM system.tables WHERE name IN ('observations', 'decisions', 'mismatches')",
  );
  expect(tables.map(({ text }) => text.includes('toIntervalDay(5)'))).toEqual([true, true, true]);
  await store.close();
});

it('ends with exit code 2 and the reason when it is misconfigured', async () => {
  for (const [options, message] of [
    [{ registry: 'nowhere.json' }, 'nowhere.json'],
    [{ nats: { url: network.nats.url, seedFile: 'none' } }, 'cannot read'],
    [{ batch: { rows: 0 } }, 'batch.rows'],
    [{ store: { kind: 'server', url: 'http://127.0.0.1:1', passwordFile: 'none' } }, 'cannot read'],
    [{ retentionDay: 1 }, 'retentionDay'],
  ] as const) {
    await expect(start(options)).rejects.toThrow(message);
  }
});

it('answers only what it serves', async () => {
  const analytics = await start();
  await analytics.until('/readyz', (_, code) => code === 200);
  const status = async (path: string, method = 'GET') =>
    (await fetch(analytics.url + path, { method })).status;
  expect(await status('/healthz')).toBe(200);
  expect(await status('/healthz', 'POST')).toBe(405);
  expect(await status('/')).toBe(404);
  expect(await status('//')).toBe(404);
  for (const nonce of ['', 'x', 'AB'.repeat(32), "' OR 1=1 --", `${'ab'.repeat(32)}&nonce=1`]) {
    expect(await status(`/observations?nonce=${encodeURI(nonce)}`), nonce).toBe(400);
  }
  expect(await analytics.get(`/observations?nonce=${'ab'.repeat(32)}`)).toEqual([]);
  await analytics.stop();
});

it('waits for a nats-server that is absent at the start', async () => {
  await publishMany(0, 50, publishObservation);
  await network.nats.stop();
  const analytics = await start();
  await analytics.until<{ missing: string[] }>('/readyz', ({ missing }) => missing.length === 1);
  expect(await analytics.get('/readyz')).toEqual({ ready: false, missing: ['nats'] });
  expect((await analytics.get<Status>('/status')).streams.observations.waiting).toBe(null);
  await network.nats.restart();
  await analytics.until('/readyz', (_, code) => code === 200);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 50 });
  await analytics.stop();
});

it('keeps on taking while its store is gone, and stores it all once it is back', async () => {
  const { child, port } = await startClickHouse(join(directory, 'served'));
  const analytics = await start({ store: { kind: 'server', url: `http://127.0.0.1:${port}` } });
  await publishMany(0, 500, publishObservation);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 500 });
  const publishing = publishMany(500, 1500, publishObservation, 8);
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
  const again = await startClickHouse(join(directory, 'served'), port);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1500 });
  await analytics.stop();
  again.child.kill('SIGKILL');
});

it('ends at once without a store, and leaves everything to be handed out again', async () => {
  const without = await start({ store: { kind: 'server', url: 'http://127.0.0.1:1' }, redeliverMs: 1000 });
  await publishMany(0, 20, publishObservation);
  await without.until<Status>('/status', ({ streams }) => streams.observations.underWay === 20);
  expect(await without.stop()).toBe(0);
  const analytics = await start();
  expect(await analytics.caughtUp()).toMatchObject({ observations: 20 });
  await analytics.stop();
});

it('follows streams that are deleted and made again', async () => {
  const analytics = await start();
  await publishMany(0, 50, publishObservation);
  await analytics.caughtUp();
  const manager = await jetstreamManager(connections.get('operator')!);
  await manager.streams.delete('OBSERVATIONS');
  await ensureStreams(manager);
  await publishMany(50, 80, publishObservation);
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored === 80);
  await analytics.stop();
});

it('stores and acknowledges what it has taken before it ends', async () => {
  const analytics = await start({ batch: { rows: 5000, ms: 10_000 }, redeliverMs: 30_000 });
  await analytics.until('/readyz', (_, code) => code === 200);
  await publishMany(0, 300, publishObservation);
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.underWay === 300);
  expect(await analytics.get('/counts')).toMatchObject({ observations: 0 });
  expect(await analytics.stop()).toBe(0);
  const manager = await jetstreamManager(connections.get('operator')!);
  expect((await manager.streams.info('OBSERVATIONS')).state.messages).toBe(0);
  const again = await start();
  expect(await again.caughtUp()).toMatchObject({ observations: 300 });
  await again.stop();
});
