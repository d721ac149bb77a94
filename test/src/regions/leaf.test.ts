/** Leaf nodes as the templates make them: what passes, and what a captured one cannot do. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureStreams, inboxPrefix, natsPermissions } from '@mecai/proto';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Workshop, pem } from '../network/index.ts';
import { type Fabric, openFabric } from './fabric.ts';
import { type NatsLayout, startNats } from './nats.ts';

const roles = {
  tokyo: natsPermissions.agent('tokyo'),
  osaka: natsPermissions.agent('osaka'),
  paris: natsPermissions.agent('paris'),
  va1: natsPermissions.coordinator('va1'),
  operator: natsPermissions.operator,
};
const patience = { timeout: 60_000, interval: 100 };
let directory: string;
let fabric: Fabric;
let workshop: Workshop;
let nats: NatsLayout;
const seeds = new Map<string, string>();
const open: NatsConnection[] = [];

async function as(name: keyof typeof roles, servers: readonly string[]): Promise<NatsConnection> {
  const connection = await connect({
    servers: [...servers],
    tls: { ca: pem(workshop.internalCa) },
    authenticator: nkeyAuthenticator(readFileSync(seeds.get(name)!)),
    inboxPrefix: inboxPrefix(name),
    timeout: 20_000,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  open.push(connection);
  return connection;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-leaf-'));
  fabric = openFabric();
  workshop = new Workshop(directory, ['logs', 'nats']);
  for (const [name, rights] of Object.entries(roles)) seeds.set(name, workshop.natsUser(name, rights));
  const regions = new Map([
    ['asia', ['tokyo', 'osaka']],
    ['europe', ['paris']],
  ]);
  nats = await startNats(workshop, fabric, regions);
}, 120_000);
afterAll(async () => {
  for (const connection of open) await connection.close();
  for (const part of [...nats.nodes, ...nats.leaves.values()]) await part.stop();
  fabric.close();
  rmSync(directory, { recursive: true, force: true });
});

it('tasks go down, observations go up and are acknowledged by the cluster, once each', {
  timeout: 120_000,
}, async () => {
  const va1 = await as('va1', nats.servers);
  const tokyo = await as('tokyo', [nats.leafServer('asia')]);
  await vi.waitUntil(async () => {
    const made = jetstreamManager(va1).then((jsm) => ensureStreams(jsm, { limits: { replicas: 3 } }));
    return made.then(
      () => true,
      // Until the cluster has elected its leaders.
      () => false,
    );
  }, patience);
  const heard: string[] = [];
  va1.subscribe('mecai.observation.*.va1', { callback: (_, message) => void heard.push(message.subject) });
  tokyo.subscribe('mecai.task.tokyo', { callback: (_, message) => void heard.push(message.subject) });
  await Promise.all([va1.flush(), tokyo.flush()]);
  await vi.waitUntil(() => {
    va1.publish('mecai.task.tokyo', 'look');
    return heard.includes('mecai.task.tokyo');
  }, patience);
  const publish = () =>
    jetstream(tokyo).publish('mecai.observation.tokyo.va1', 'seen', { msgID: 'one', timeout: 10_000 });
  expect(await publish()).toMatchObject({ stream: 'OBSERVATIONS', seq: 1, duplicate: false });
  expect(await publish()).toMatchObject({ stream: 'OBSERVATIONS', seq: 1, duplicate: true });
  await vi.waitUntil(() => heard.includes('mecai.observation.tokyo.va1'), patience);
});

it('a captured leaf node speaks for its own agents and for nobody else', { timeout: 120_000 }, async () => {
  const leaf = nats.leaves.get('asia')!;
  await leaf.kill();
  // Whoever has the machine writes its list of users: here one who may do everything.
  writeFileSync(workshop.at('nats/leaf-asia/users.conf'), '');
  await leaf.start();
  const operator = await as('operator', nats.servers);
  const va1 = await as('va1', nats.servers);
  const thief = await connect({
    servers: nats.leafServer('asia'),
    tls: { ca: pem(workshop.internalCa) },
    timeout: 20_000,
  });
  open.push(thief);
  const arrived = new Set<string>();
  const overheard = new Set<string>();
  operator.subscribe('mecai.>', {
    callback: (_, message) => void arrived.add(`${message.subject} ${message.string()}`),
  });
  thief.subscribe('mecai.task.*', {
    callback: (_, message) => void overheard.add(`${message.subject} ${message.string()}`),
  });
  thief.subscribe('mecai.task.osaka', {
    callback: (_, message) => void overheard.add(`${message.subject} ${message.string()}`),
  });
  await Promise.all([operator.flush(), thief.flush()]);
  // The last of each is allowed, and shows that those before it had their time.
  await vi.waitUntil(() => {
    for (const subject of [
      'mecai.decision.va1',
      'mecai.observation.paris.va1',
      'mecai.task.paris',
      'mecai.agent.paris',
      'mecai.agent.osaka',
    ])
      thief.publish(subject, 'false');
    for (const subject of ['mecai.task.paris', 'mecai.task.osaka']) va1.publish(subject, 'true');
    return arrived.has('mecai.agent.osaka false') && overheard.has('mecai.task.osaka true');
  }, patience);
  expect([...arrived].filter((one) => one.endsWith('false'))).toEqual(['mecai.agent.osaka false']);
  expect([...overheard].filter((one) => one.endsWith('true'))).toEqual(['mecai.task.osaka true']);
  await expect(thief.request('$JS.API.STREAM.PURGE.OBSERVATIONS', '', { timeout: 1_000 })).rejects.toThrow();
  const { state } = await (await jetstreamManager(operator)).streams.info('OBSERVATIONS');
  expect(state.messages).toBe(1);
});
