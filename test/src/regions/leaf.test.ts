/** Leaf nodes as the templates make them: what passes, and what a captured one cannot do. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signObservation } from '@mecai/corroboration';
import {
  type Observation,
  SignedObservation,
  ensureStreams,
  inboxPrefix,
  natsPermissions,
  subjects,
} from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Perspectives } from '@mecai/coordinator/perspectives';
import { openNatsLink as openCoordinatorLink } from '@mecai/coordinator/nats-link';
import { openNatsLink } from '@mecai/probe-agent/nats-link';
import { RoundTrips } from '@mecai/probe-agent/round-trips';
import { Workshop, keyPem, pem, svid } from '../network/index.ts';
import { type Fabric, openFabric } from './fabric.ts';
import { knock } from './knock.ts';
import { type NatsLayout, startNats } from './nats.ts';

const roles = {
  tokyo: natsPermissions.agent('tokyo'),
  osaka: natsPermissions.agent('osaka'),
  paris: natsPermissions.agent('paris'),
  va1: natsPermissions.coordinator('va1'),
  operator: natsPermissions.operator,
};
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const blank: Observation = {
  nonce: new Uint8Array(),
  agent: '',
  target: undefined,
  observedAt: 0,
  chain: [],
  possessionProven: false,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
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

const quiet = createLogger('test', 'silent');
const busOf = (name: keyof typeof roles, servers: readonly string[]) => ({
  servers: [...servers],
  seedFile: seeds.get(name)!,
  ca: workshop.at('internal-ca.pem'),
  silentMs: 3_000,
});
const agentLink = (name: 'osaka', servers: readonly string[]) =>
  openNatsLink({ name, nats: { ...busOf(name, servers), returnEveryMs: 0 } }, quiet);

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
afterEach(async () => {
  for (const connection of open.splice(0)) await connection.close();
});
afterAll(async () => {
  for (const part of [...nats.nodes, ...nats.leaves.values()]) await part.stop();
  fabric.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Streams want all of an agent's observations: with them there, no one else's wish for them is noticed. */
describe('between regions, without any stream', () => {
  it('coordinators hear answers, through every leaf node', { timeout: 120_000 }, async () => {
    const va1 = await as('va1', nats.servers);
    const perspectives = new Perspectives(va1, 'va1', Date.now, (error) => {
      throw error;
    });
    const heard = new Set<string>();
    const nonce = randomBytes(32);
    for (const [region, name] of [
      ['asia', 'tokyo'],
      ['europe', 'paris'],
    ] as const) {
      const agent = await as(name, [nats.leafServer(region)]);
      agent.subscribe(subjects.task(name), {
        callback: () => {
          const signed = signObservation({ ...blank, nonce, agent: name }, key);
          agent.publish(subjects.observation(name, 'va1'), SignedObservation.encode(signed).finish());
        },
      });
      await agent.flush();
    }
    const both = ['tokyo', 'paris'];
    const asked = perspectives.ask(nonce, [], both, 1_000, (agent) => void heard.add(agent));
    // Until the leaf nodes have found the cluster.
    await vi.waitUntil(() => {
      asked.again(both);
      return heard.size === 2;
    }, patience);
    asked.stop();
  });

  it('agents measure the way to each other', { timeout: 120_000 }, async () => {
    const measuring = async (region: string, name: 'tokyo' | 'paris') => {
      const connection = await as(name, [nats.leafServer(region)]);
      return new RoundTrips({ nats: connection, name, key, now: () => performance.now(), randomBytes });
    };
    const [tokyo, paris] = [await measuring('asia', 'tokyo'), await measuring('europe', 'paris')];
    await vi.waitUntil(() => {
      tokyo.ask();
      paris.ask();
      return tokyo.next()?.peer === 'paris' && paris.next()?.peer === 'tokyo';
    }, patience);
  });
});

describe('the leaf node of a region', () => {
  it('is left when it dies, and gone back to when it works again', { timeout: 120_000 }, async () => {
    const leaf = nats.leaves.get('asia')!;
    const servers = [nats.leafServer('asia'), ...nats.servers];
    const link = await agentLink('osaka', servers);
    const at = () => `tls://${link.nats.getServer()}`;
    expect(at()).toBe(servers[0]);
    await leaf.kill();
    await vi.waitUntil(() => at() !== servers[0], patience);
    await leaf.start();
    await vi.waitUntil(async () => {
      await link.goBack();
      return at() === servers[0];
    }, patience);
    await link.close();
  });
});

describe('among servers, a certificate of the internal CA', () => {
  // Of no cluster: who gets so far is told so, and sent away.
  const words = `CONNECT ${JSON.stringify({ name: 'stranger', tls_required: true })}\r\nPING\r\n`;
  const knockAs = (port: number, identity: { cert: string; key: string }, until: RegExp) =>
    knock(
      { host: nats.nodes[0]!.place.address, port, greeted: port === 7422 },
      { ...identity, ca: pem(workshop.internalCa) },
      words,
      until,
    );
  const stranger = () => {
    const one = svid(workshop.internalCa, 'spiffe://mecai.test/va1', { dns: ['va1'] });
    return { cert: pem(one), key: keyPem(one) };
  };
  const ownOf = (name: string) => {
    const [cert, key] = ['pem', 'key'].map((end) =>
      readFileSync(workshop.at(`nats/${name}/tls.${end}`), 'utf8'),
    );
    return { cert: cert!, key: key! };
  };

  it('makes a node of a node', async () => {
    expect(await knockAs(6222, ownOf('nats-2'), /PONG|-ERR/)).toMatch(
      /-ERR 'Rejecting connection, cluster name/,
    );
  });

  it('makes no node of anybody else', async () => {
    expect(await knockAs(6222, stranger(), /PONG|-ERR/)).toMatch(/-ERR 'Authorization/);
    expect(await knockAs(6222, ownOf('leaf-asia'), /PONG|-ERR/)).toMatch(/-ERR 'Authorization/);
  });

  it('makes no leaf node: without its password it is nobody, whom nobody tells anything', async () => {
    const va1 = await as('va1', nats.servers);
    va1.subscribe('mecai.agent.*', { callback: () => undefined });
    await va1.flush();
    for (const identity of [stranger(), ownOf('leaf-asia')]) {
      const heard = await knockAs(7422, identity, /PONG|-ERR/);
      expect(heard).toContain('INFO');
      expect(heard).not.toContain('mecai.');
    }
  });
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

it('coordinators are told when their stream has another leader', { timeout: 120_000 }, async () => {
  const operator = await as('operator', nats.servers);
  let told = false;
  const va1 = await openCoordinatorLink(
    {
      name: 'va1',
      nats: { ...busOf('va1', nats.servers), keepStored: { ms: 0, octets: 0 }, streamReplicas: 3 },
    },
    quiet,
    () => undefined,
  );
  va1.onLeader(() => {
    told = true;
  });
  await vi.waitUntil(async () => {
    await operator.request('$JS.API.STREAM.LEADER.STEPDOWN.RECORDS').catch(() => undefined);
    return told;
  }, patience);
  await va1.close();
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
