import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifyObservationSignature } from '@mecai/corroboration';
import {
  AgentStatus,
  KeyType,
  Observation,
  SignedObservation,
  type Target,
  Task,
  subjects,
} from '@mecai/proto';
import type { Running } from '@mecai/runtime';
import { testKey } from '@mecai/voucher/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startAgent } from './start.ts';
import { keptLog } from './testing/log.ts';
import { mmdb } from './testing/mmdb.ts';
import { type TestNats, startTestNats } from './testing/nats.ts';
import { type TestServer, ecdsa, silentServer, tlsServer } from './testing/servers.ts';
import { Way } from './testing/way.ts';

const key = testKey();
const { log, lines } = keptLog();
let nats: TestNats;
let va1: NatsConnection;
let server: TestServer;
let running: Running | undefined;
const heard: { agent: string; observation: Observation; signed: SignedObservation }[] = [];
const statuses: { agent: string; status: AgentStatus }[] = [];
let changed = Promise.withResolvers<void>();

function wake(): void {
  changed.resolve();
  changed = Promise.withResolvers();
}

beforeAll(async () => {
  nats = await startTestNats();
  server = await tlsServer([ecdsa]);
  va1 = await nats.as('va1');
  const listen = (subject: string, take: (agent: string, data: Uint8Array) => void) =>
    va1.subscribe(subject, {
      callback: (error, message) => {
        if (error) throw error;
        take(message.subject.split('.')[2]!, message.data);
        wake();
      },
    });
  listen(subjects.observation('*', 'va1'), (agent, data) => {
    const signed = SignedObservation.decode(data);
    heard.push({ agent, signed, observation: Observation.decode(signed.observation) });
  });
  listen(subjects.agentStatus('*'), (agent, data) =>
    statuses.push({ agent, status: AgentStatus.decode(data) }),
  );
  await va1.flush();
});
afterAll(async () => {
  await server.close();
  await nats.close();
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  // What the agent of this test has said does not count in the next; a broken connection brings nothing more.
  await va1.flush().catch(() => undefined);
  heard.length = 0;
  statuses.length = 0;
  lines.length = 0;
});

const place = { city: 'Oslo', country: 'NO', latitude: 59.9, longitude: 10.7, rir: 'ripencc', asn: 64_496 };

function configFile(changes: Record<string, unknown> = {}, directory = nats.directory): string {
  const keyFile = join(directory, 'observation.key');
  writeFileSync(keyFile, key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const file = join(directory, 'agent.json');
  const config = {
    name: 'oslo',
    admin: '127.0.0.1:0',
    nats: { servers: [nats.server.url], seedFile: nats.seedFile('oslo') },
    keyFile: 'observation.key',
    location: place,
    allowedTargets: ['127.0.0.0/8', '::1/128'],
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const failures: unknown[] = [];
async function start(
  changes: Record<string, unknown> = {},
  environment: NodeJS.ProcessEnv = {},
): Promise<Running> {
  running = await startAgent({
    log,
    config: configFile(changes),
    environment,
    fail: (error) => failures.push(error),
  });
  return running;
}
async function until<T>(find: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = find();
    if (found) return found;
    await changed.promise;
  }
}
/** Asks for one observation, once the agent has shown that it listens. */
async function ask(target: Partial<Target> = {}, timeoutMs = 5_000, agent = 'oslo') {
  await until(() => statuses.some((one) => one.agent === agent));
  const nonce = randomBytes(32);
  const whole = {
    address: Uint8Array.of(127, 0, 0, 1),
    port: server.port,
    serverName: 'www.example.org',
    startTls: '',
    keyType: KeyType.KEY_TYPE_UNSPECIFIED,
    ...target,
  };
  va1.publish(
    subjects.task(agent),
    Task.encode({ nonce, targets: [whole], timeoutMs, coordinator: 'va1' }).finish(),
  );
  return { answer: () => until(() => heard.find(({ observation }) => nonce.equals(observation.nonce))) };
}
const answerOf = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).answer();
/** Has the campaigns ask, and finds the answer where analytics will. */
async function campaignAnswer() {
  await until(() => statuses.some((one) => one.agent === 'oslo'));
  const campaigns = await nats.as('campaigns');
  const operator = await nats.as('operator');
  const answers = operator.subscribe('mecai.observation.>', { max: 1 });
  await operator.flush();
  const target = {
    address: Uint8Array.of(127, 0, 0, 1),
    port: server.port,
    serverName: 'www.example.org',
    startTls: '',
    keyType: KeyType.KEY_TYPE_UNSPECIFIED,
  };
  const task = { nonce: randomBytes(32), targets: [target], timeoutMs: 5_000, coordinator: 'campaigns' };
  campaigns.publish(subjects.campaignTask('oslo'), Task.encode(task).finish());
  for await (const { subject, data } of answers) {
    const observation = Observation.decode(SignedObservation.decode(data).observation);
    expect(Buffer.from(observation.nonce)).toEqual(task.nonce);
    return { subject, observation };
  }
  throw new Error('no answer');
}
const status = async () => {
  const text = await (await fetch(`${String(running!.ready['admin'])}/status`)).text();
  const parsed: Record<string, unknown> = JSON.parse(text);
  return parsed;
};

describe('configuration', () => {
  it('name, seed and servers: whose tasks are answered', async () => {
    await start({ name: 'lima', nats: { servers: [nats.server.url], seedFile: nats.seedFile('lima') } });
    expect((await answerOf({}, 5_000, 'lima')).observation.agent).toBe('lima');
  });

  const told = (what: string) =>
    expect.poll(() => lines.some(({ message }) => message.includes(what)), { timeout: 60_000 }).toBe(true);

  it('nats.silentMs: when a server counts as gone', async () => {
    await start({ nats: { servers: [nats.server.url], seedFile: nats.seedFile('oslo'), silentMs: 300 } });
    await until(() => statuses[0]);
    nats.server.pause();
    await told('NATS lost');
    nats.server.resume();
    await told('NATS reached again');
  });

  it('nats.returnEveryMs: how often a better server is tried', async () => {
    const way = new Way(nats.server.port);
    await way.open();
    await way.close();
    const servers = [way.url, nats.server.url];
    await start({ nats: { servers, seedFile: nats.seedFile('oslo'), returnEveryMs: 50 } });
    await until(() => statuses[0]);
    await way.open();
    await told('a better NATS server works again');
    await told('NATS reached again');
    await running!.stop();
    running = undefined;
    await way.close();
  });

  it('keyFile: what signs, relative to the file', async () => {
    await start();
    const { signed } = await answerOf();
    expect(verifyObservationSignature(signed, key.publicKey)).toBe(true);
    await running!.stop();
    mkdirSync(join(nats.directory, 'other'), { recursive: true });
    await expect(start({ keyFile: 'other/absent.key' })).rejects.toMatchObject({ code: 'unreadable-file' });
    running = undefined;
  });

  it('admin and location: what is shown, and where', async () => {
    const { ready } = await start({ location: { ...place, city: 'Bergen' } });
    expect(ready['admin']).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await until(() => statuses[0]);
    expect(await status()).toMatchObject({ name: 'oslo', location: { city: 'Bergen' }, dropped: 0 });
  });

  it('probe.bindIpv4 and probe.bindIpv6: where probes come from', async () => {
    await start({ probe: { bindIpv4: '127.7.7.7', bindIpv6: '2001:db8::1' } });
    await answerOf();
    expect(server.peers.at(-1)).toBe('127.7.7.7');
    const loopback = Uint8Array.of(...Array<number>(15).fill(0), 1);
    // An address that this machine does not have cannot be bound.
    expect((await answerOf({ address: loopback })).observation.failure?.class).toMatch(
      /local-error|unreachable/,
    );
  });

  it.each([
    [false, 'finished'],
    [true, 'broken off'],
  ])('probe.stopEarly %j: servers see the handshake %s', async (stopEarly, end) => {
    const asked = await tlsServer([ecdsa]);
    await start({ probe: { stopEarly } });
    const { observation } = await answerOf({ port: asked.port });
    expect(observation).toMatchObject({ possessionProven: true, failure: undefined });
    expect(await asked.handshake).toBe(end);
    await asked.close();
  });

  it('probe.inFlight: how much at once', async () => {
    const silent = await silentServer();
    await start({ probe: { inFlight: 1 } });
    const first = await ask({ port: silent.port }, 1_000);
    expect((await answerOf()).observation.failure).toMatchObject({ class: 'overloaded' });
    expect((await first.answer()).observation.failure).toMatchObject({ class: 'timeout-handshake' });
    await silent.close();
  });

  it('probe.campaignInFlight and probe.campaignPerSecond: what campaigns get', async () => {
    for (const probe of [{ campaignInFlight: 0 }, { campaignPerSecond: 0 }]) {
      await start({ probe });
      expect((await campaignAnswer()).observation.failure).toMatchObject({ class: 'overloaded' });
      await running!.stop();
      statuses.length = 0;
    }
  });

  it('allowedTargets: what may be probed although it is special', async () => {
    await start({ allowedTargets: ['10.0.0.0/8'] });
    expect((await answerOf()).observation.failure).toMatchObject({ class: 'forbidden-target' });
  });

  it('outbox: how much is kept', async () => {
    await nats.jsm.streams.delete('OBSERVATIONS');
    await start({ outbox: 1 });
    await answerOf();
    await answerOf();
    expect(await status()).toMatchObject({ unconfirmed: 1, dropped: 1 });
    await nats.jsm.streams.add({ name: 'OBSERVATIONS', subjects: ['mecai.observation.>'] });
  });

  it('geoip: what the status says, and whether it stops the agent', async () => {
    writeFileSync(
      join(nats.directory, 'city.mmdb'),
      mmdb('GeoLite2-City', '198.51.100.0/24', { country: { iso_code: 'SE' } }),
    );
    const geoip = { publicAddress: '198.51.100.7', city: 'city.mmdb' };
    await start({ geoip });
    const { status: sent } = await until(() => statuses[0]);
    expect(sent).toMatchObject({
      locationCheck: 'contradicts',
      contradictions: ['country: declared NO, GeoIP SE'],
    });
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'GeoIP contradicts the declared location' }),
    );
    await running!.stop();
    running = undefined;
    await expect(start({ geoip: { ...geoip, onContradiction: 'refuse' } })).rejects.toMatchObject({
      code: 'location-contradicted',
      message: 'country: declared NO, GeoIP SE',
    });
    await start({ geoip: { ...geoip, onContradiction: 'refuse', publicAddress: '192.0.2.1' } });
    expect(await status()).toMatchObject({ locationCheck: { result: 'unknown' } });
  });

  it('the environment comes before the file', async () => {
    await start({}, { MECAI_LOCATION__CITY: 'Moss' });
    expect(await status()).toMatchObject({ location: { city: 'Moss' } });
  });

  it.each([
    ['an unknown member', { hurry: true }, 'hurry'],
    ['a name that is a wildcard', { name: '*' }, 'name'],
    ['a bad prefix', { allowedTargets: ['10.0.0.1/8'] }, 'allowedTargets.0'],
    ['a country in small letters', { location: { ...place, country: 'no' } }, 'location.country'],
    ['a bind address that is a name', { probe: { bindIpv4: 'localhost' } }, 'probe.bindIpv4'],
    ['no servers', { nats: { servers: [], seedFile: 'x' } }, 'nats.servers'],
  ])('%s is named', async (_, changes, member) => {
    const failed = start(changes);
    await expect(failed).rejects.toMatchObject({ code: 'bad-configuration' });
    await expect(failed).rejects.toThrow(member);
  });
});

describe('an agent', () => {
  it('that is asked twice answers twice, octet for octet, and looks once', async () => {
    await start();
    const { signed } = await answerOf();
    const { nonce, target } = Observation.decode(signed.observation);
    const looked = server.peers.length;
    const task = { nonce, targets: [target!], timeoutMs: 5_000, coordinator: 'va1' };
    va1.publish(subjects.task('oslo'), Task.encode(task).finish());
    const both = await until(() => heard.length === 2 && heard);
    expect(
      both.map(({ signed: one }) => Buffer.from(SignedObservation.encode(one).finish()).toString('hex')),
    ).toEqual(
      [signed, signed].map((one) => Buffer.from(SignedObservation.encode(one).finish()).toString('hex')),
    );
    expect(server.peers.length).toBe(looked);
  });

  it('says every two seconds that it is alive', async () => {
    await start();
    await until(() => statuses.length >= 2);
    expect(statuses[1]!.status.sentAt - statuses[0]!.status.sentAt).toBeGreaterThan(1_500);
  });

  it('answers campaigns where coordinators do not hear it', async () => {
    await start();
    const { observation, subject } = await campaignAnswer();
    expect(observation.failure).toBeUndefined();
    expect(observation.chain).not.toEqual([]);
    expect(subject).toBe('mecai.observation.oslo.campaign.campaigns');
    await va1.flush();
    expect(heard).toEqual([]);
  });

  it('that is stopped answers what it has accepted, and keeps it', async () => {
    const silent = await silentServer();
    const one = await start();
    await ask({ port: silent.port }, 1_000);
    await silent.connected;
    const stopped = one.stop();
    running = undefined;
    await stopped;
    await silent.close();
    expect(heard.map(({ observation }) => observation.failure?.class)).toEqual(['timeout-handshake']);
    const kept = (await nats.stored()).map(({ nonce }) => Buffer.from(nonce).toString('hex'));
    expect(kept).toContain(Buffer.from(heard[0]!.observation.nonce).toString('hex'));
    expect(failures).toEqual([]);
  });

  it('is ready only while NATS is there, comes back by itself, and stops without it', async () => {
    await start();
    const readyz = async () => (await fetch(`${String(running!.ready['admin'])}/readyz`)).status;
    await answerOf();
    expect(await readyz()).toBe(200);
    await nats.server.stop();
    while ((await readyz()) !== 503);
    await nats.server.restart();
    while ((await readyz()) !== 200);
    heard.length = 0;
    await va1.flush().catch(() => undefined);
    expect((await answerOf()).observation.possessionProven).toBe(true);
    await nats.server.stop();
    while ((await readyz()) !== 503);
    await running!.stop();
    running = undefined;
    await nats.server.restart();
    expect(failures).toEqual([]);
  });
});

it('reloads its limits while it runs; a name is for good', async () => {
  await start({ probe: { inFlight: 1 } });
  configFile({ probe: { inFlight: 5 }, allowedTargets: [] });
  expect(await running!.reload!()).toEqual(['probe.inFlight', 'allowedTargets']);
  const asked = await ask();
  expect((await asked.answer()).observation.failure).toMatchObject({ class: 'forbidden-target' });
  configFile({ name: 'bergen' });
  await expect(running!.reload!()).rejects.toMatchObject({
    code: 'needs-restart',
    message: expect.stringContaining(': name; ') as string,
  });
  configFile({ allowedTargets: ['127.0.0.0/33'] });
  await expect(running!.reload!()).rejects.toMatchObject({
    code: 'bad-configuration',
    message: expect.stringMatching(/allowedTargets\.0: expected a prefix.*, in line 1$/) as string,
  });
});

it('says that it stops before it takes no more, and answers what comes until then', async () => {
  await start();
  const { admin } = running!.ready;
  await until(() => statuses.length > 0);
  const stopped = running!.stop();
  running = undefined;
  await until(() => statuses.some(({ status }) => status.stopping));
  // Whoever asks before it has heard is answered.
  const asked = await ask();
  const readiness = await fetch(`${String(admin)}/readyz`);
  expect([readiness.status, await readiness.json()]).toEqual([503, { ready: false, missing: ['stopping'] }]);
  expect((await asked.answer()).observation.possessionProven).toBe(true);
  await stopped;
});
