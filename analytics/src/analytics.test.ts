import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Mismatch, SignedObservation } from '@mecai/proto';
import { expect, it } from 'vitest';
import type { Counts } from './queries.ts';
import type { ObservationRow } from './rows.ts';
import { Bed } from './testing/bed.ts';
import { encodeObservation, makeObservation, nonceOf, subjectOf } from './testing/network.ts';
import type { Status } from './testing/process.ts';

const bed = new Bed();

it('stores observation, certificate, decision and mismatch, and serves them', async () => {
  const analytics = await bed.start();
  const at = Date.now();
  const observation = makeObservation(bed.network, 1, 'oslo', at);
  const evidence = encodeObservation(observation, bed.network.keys.get('oslo')!);
  await bed.publish('oslo', subjectOf('oslo'), evidence);
  await bed.publishDecision(1);
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
  await bed.publish('va1', 'mecai.mismatch.va1', Mismatch.encode(mismatch).finish());
  expect(await analytics.caughtUp()).toEqual({
    observations: 1,
    rates: 1,
    campaigns: 0,
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

it('puts poison aside, with the reason, and goes on', async () => {
  const lima = bed.network.keys.get('lima')!;
  const observation = makeObservation(bed.network, 1, 'lima', Date.now());
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
    ['bad-signature', encodeObservation(observation, bed.network.keys.get('oslo')!)],
    ['bad-signature', SignedObservation.encode({ ...forged, signature: new Uint8Array(0) }).finish()],
    ['malformed', new Uint8Array(500_000).fill(0xff)],
  ];
  for (const [, data] of poison) await bed.publish('lima', subjectOf('lima'), data);
  await bed.publish('va1', 'mecai.decision.va1', Buffer.from([0xff]));
  await bed.publish('va1', 'mecai.mismatch.va1', new Uint8Array(0));
  await bed.publish('lima', subjectOf('lima'), encodeObservation(observation, lima));
  const analytics = await bed.start();
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1, decisions: 0, mismatches: 0 });

  const manager = await bed.manager();
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

it('learns of agents that join while it runs, and keeps the registry it has when the new one is broken', async () => {
  const registry = join(bed.directory, 'registry.json');
  const file = JSON.parse(readFileSync(bed.network.registry, 'utf8')) as {
    version: number;
    agents: object[];
  };
  writeFileSync(registry, JSON.stringify({ version: 1, agents: file.agents.slice(0, 1) }));
  const analytics = await bed.start({ registry });
  await bed.publishObservation(0);
  await bed.publishObservation(1);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 1 });
  expect((await analytics.get<Status>('/status')).streams.observations.deadLetters).toBe(1);
  writeFileSync(registry, '{"version": ');
  await bed.publish('oslo', subjectOf('oslo'), bed.encoded(4));
  await bed.publishObservation(3);
  expect(await analytics.caughtUp()).toMatchObject({ observations: 2 });
  writeFileSync(registry, JSON.stringify({ ...file, version: 2 }));
  await bed.publish('oslo', subjectOf('oslo'), bed.encoded(4));
  expect(await analytics.caughtUp()).toMatchObject({ observations: 3 });
  await analytics.stop();
});

it('does with each option what it says', async () => {
  const analytics = await bed.start({
    nats: { servers: [bed.network.nats.url], seedFile: join(bed.root, 'archive.seed'), name: 'archive' },
    batch: { rows: 123, ms: 20 },
    redeliverMs: 7000,
    retentionDays: 5,
    store: { kind: 'embedded', directory: 'elsewhere' },
  });
  await bed.publish('lima', subjectOf('lima'), Buffer.from('poison'));
  await analytics.caughtUp();
  const manager = await bed.manager();
  const { config } = await manager.consumers.info('OBSERVATIONS', 'archive');
  expect(config).toMatchObject({ ack_wait: 7e9, max_ack_pending: 246 });
  const letter = await manager.streams.getMessage('DEAD_LETTERS', { seq: 1 });
  expect(letter?.subject).toBe('mecai.dead-letter.archive');
  expect(new URL(analytics.url).hostname).toBe('127.0.0.1');
  await analytics.stop();
  expect(readdirSync(bed.directory)).toContain('elsewhere');
  const tables = await bed.stored<{ text: string }>(
    "SELECT create_table_query AS text FROM system.tables WHERE name IN ('observations', 'decisions', 'mismatches')",
    'elsewhere',
  );
  expect(tables.map(({ text }) => text.includes('toIntervalDay(5)'))).toEqual([true, true, true]);
});

it('ends with exit code 2 and the reason when it is misconfigured', async () => {
  for (const [options, message] of [
    [{ registry: 'nowhere.json' }, 'nowhere.json'],
    [{ nats: { servers: [bed.network.nats.url], seedFile: 'none' } }, 'cannot read'],
    [{ batch: { rows: 0 } }, 'batch.rows'],
    [{ store: { kind: 'server', url: 'http://127.0.0.1:1', passwordFile: 'none' } }, 'cannot read'],
    [{ store: { kind: 'server', url: 'https://127.0.0.1:1', ca: 'none' } }, 'store.ca: cannot read'],
    [{ retentionDay: 1 }, 'retentionDay'],
  ] as const) {
    await expect(bed.start(options)).rejects.toThrow(message);
  }
});

it('answers only what it serves', async () => {
  const analytics = await bed.start();
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

it('orders another look, with SNI and without, where agents disagree, if it may', async () => {
  const analytics = await bed.start({ detection: { everySeconds: 0.2, lookAgain: true } });
  await analytics.until('/readyz', (_, code) => code === 200);
  const { certificates, keys } = bed.network;
  for (const [n, agent] of (['lima', 'oslo', 'tokyo'] as const).entries()) {
    const observation = {
      ...makeObservation(bed.network, 0, agent, Date.now()),
      chain: [certificates[n === 2 ? 1 : 0]!],
    };
    await bed.publish(agent, subjectOf(agent), encodeObservation(observation, keys.get(agent)!));
  }
  await analytics.until<Counts>('/counts', ({ campaigns }) => campaigns === 1);
  await analytics.stop();
  expect(await bed.stored('SELECT author, endpoints FROM campaigns FINAL')).toEqual([
    { author: 'rules', endpoints: 2 },
  ]);
  const names = 'SELECT DISTINCT server_name FROM campaign_targets FINAL ORDER BY server_name';
  expect(await bed.stored(names)).toEqual([{ server_name: '' }, { server_name: 'site0.example' }]);
});
