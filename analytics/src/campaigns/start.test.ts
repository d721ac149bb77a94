import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { AgentStatus, Task, inboxPrefix, natsPermissions, subjects } from '@mecai/proto';
import { type Running, createLogger } from '@mecai/runtime';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { type NatsServer, startNatsServer } from '../../../test/src/parts/nats-server.ts';
import { type Served, serve } from '../testing/served.ts';
import { makeTls } from '../testing/tls.ts';
import { Way } from '../testing/way.ts';
import { startCampaigns } from './start.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-campaigns-'));
const at = (name: string) => join(directory, name);
let served: Served;
let nats: NatsServer;
let agent: NatsConnection;
let alive: Uint8Array;
let beat: NodeJS.Timeout;
let running: Running | undefined;
const tasks: Task[] = [];
let changed = Promise.withResolvers<void>();
const failures: unknown[] = [];
/** How far the clock of the process is ahead. */
let aheadMs = 0;

beforeAll(async () => {
  served = await serve({ now: Date.now });
  const keys = { lima: nkeys.createUser(), campaigns: nkeys.createUser(), again: nkeys.createUser() };
  nats = await startNatsServer({
    directory: at('nats'),
    users: [
      { name: 'lima', publicNkey: keys.lima.getPublicKey(), ...natsPermissions.agent('lima') },
      {
        name: 'campaigns',
        publicNkey: keys.campaigns.getPublicKey(),
        ...natsPermissions.campaigns('campaigns'),
      },
      { name: 'again', publicNkey: keys.again.getPublicKey(), ...natsPermissions.campaigns('again') },
    ],
  });
  writeFileSync(at('campaigns.nk'), keys.campaigns.getSeed());
  writeFileSync(at('again.nk'), keys.again.getSeed());
  writeFileSync(at('token'), served.token('read', 'operate'));
  writeFileSync(at('weak'), served.token('sql'));
  agent = await connect({
    servers: nats.url,
    authenticator: nkeyAuthenticator(keys.lima.getSeed()),
    inboxPrefix: inboxPrefix('lima'),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  agent.subscribe(subjects.campaignTask('lima'), {
    callback: (_, message) => {
      tasks.push(Task.decode(message.data));
      changed.resolve();
      changed = Promise.withResolvers();
    },
  });
  alive = AgentStatus.encode({
    sentAt: Date.now(),
    probesInFlight: 0,
    unconfirmed: 0,
    locationCheck: 'agrees',
    contradictions: [],
    roundTrip: undefined,
    stopping: false,
  }).finish();
  beat = setInterval(() => agent.publish(subjects.agentStatus('lima'), alive), 100);
}, 60_000);
afterEach(async () => {
  await running?.stop();
  running = undefined;
  for (const { id } of await ordered('running')) await post(`campaigns/${id}/stop`, {});
  tasks.length = 0;
  expect(failures).toEqual([]);
});
afterAll(async () => {
  clearInterval(beat);
  await agent.close();
  await nats.stop();
  await served.close();
  rmSync(directory, { recursive: true });
});

function configure(changes: object = {}): void {
  const config = {
    admin: '127.0.0.1:0',
    nats: { servers: [nats.url], seedFile: 'campaigns.nk' },
    analytics: { url: served.url, tokenFile: 'token' },
    ...changes,
  };
  writeFileSync(at('campaigns.json'), JSON.stringify(config));
}

async function start(changes: object = {}, log = createLogger('campaigns', 'silent')): Promise<Running> {
  configure(changes);
  running = await startCampaigns({
    log,
    config: at('campaigns.json'),
    environment: {},
    now: () => Date.now() + aheadMs,
    randomBytes,
    fail: (error) => failures.push(error),
  });
  return running;
}

const post = async (path: string, body: object) => {
  const response = await fetch(`${served.url}/api/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${served.token('operate')}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await response.json()) as { id: string; state: string };
};
const ordered = async (state: string) => {
  const response = await fetch(`${served.url}/api/v1/campaigns?state=${state}`);
  return ((await response.json()) as { items: { id: string }[] }).items;
};
const order = (perMinute: number, endpoints = 3) =>
  post('campaigns', {
    name: 'look again',
    choice: {
      kind: 'endpoints',
      endpoints: Array.from({ length: endpoints }, (_, i) => ({
        address: '192.0.2.1',
        port: 1 + i,
        serverName: 'a.example',
      })),
    },
    perMinute,
    perspectives: 1,
  });
const heard = async (count: number) => {
  while (tasks.length < count) await changed.promise;
};
const ask = async (path: string): Promise<unknown> =>
  (await fetch(String(running!.ready['admin']) + path)).json();
const ready = async () => (await ask('/readyz')) as { ready: boolean; missing: string[] };
const status = async () => (await ask('/status')) as { agents: number; running: number };

it('takes orders from analytics to agents, and tells when they are done', async () => {
  await start();
  const { id } = await order(6000);
  await heard(3);
  expect(tasks.map(({ targets }) => targets[0]!.port)).toEqual([1, 2, 3]);
  expect(tasks[0]).toMatchObject({ coordinator: 'campaigns', timeoutMs: 10_000 });
  expect(Buffer.from(tasks[0]!.nonce).toString('hex').slice(0, 32)).toBe(id);
  await expect
    .poll(async () => (await ordered('done')).map((one) => one.id), { timeout: 60_000 })
    .toContain(id);
  expect(await ready()).toEqual({ ready: true, missing: [] });
});

it('name, nats.seedFile and timeoutMs: who asks, and how long an agent has', async () => {
  await start({ name: 'again', nats: { servers: [nats.url], seedFile: 'again.nk' }, timeoutMs: 2000 });
  await order(6000, 1);
  await heard(1);
  expect(tasks[0]).toMatchObject({ coordinator: 'again', timeoutMs: 2000 });
});

it('admin: where it tells how it is', async () => {
  const { ready: told } = await start({ admin: '127.0.0.9:0' });
  expect(told['admin']).toMatch(/^http:\/\/127\.0\.0\.9:\d+/);
  expect(await status()).toMatchObject({ running: 0 });
});

it('tells Prometheus what it does', async () => {
  await start();
  await order(6000);
  await heard(3);
  const metrics = async () => (await fetch(`${String(running!.ready['admin'])}/metrics`)).text();
  await expect.poll(metrics).toMatch(/^mecai_campaigns_sent 3$/m);
  expect(await metrics()).toMatch(/^mecai_campaigns_agents 1$/m);
  expect(await metrics()).toMatch(/^mecai_campaigns_running [01]$/m);
});

it('telemetry: metrics go to a collector', async () => {
  const asked = Promise.withResolvers<string>();
  const collector = createServer((request, response) => {
    void text(request).then((body) => {
      if (request.url === '/v1/metrics') asked.resolve(body);
      return response.end('{}');
    });
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  await start({ telemetry: { collector: url, metricsEveryMs: 100 } });
  expect(await asked.promise).toContain('mecai.campaigns.running');
  await running!.stop();
  running = undefined;
  collector.close();
});

it('nats.ca: whose servers are trusted', async () => {
  const tls = makeTls(directory);
  const user = nkeys.createUser();
  writeFileSync(at('user.nk'), user.getSeed());
  const secured = await startNatsServer({
    directory: at('secured'),
    users: [
      { name: 'campaigns', publicNkey: user.getPublicKey(), ...natsPermissions.campaigns('campaigns') },
    ],
    tls,
  });
  const way = { servers: [secured.url], seedFile: 'user.nk' };
  await start({ nats: { ...way, ca: tls.certificate } });
  await expect.poll(ready).toEqual({ ready: true, missing: [] });
  await running!.stop();
  const log = createLogger('campaigns', 'silent');
  const warn = vi.spyOn(log, 'warn');
  await start({ nats: way }, log);
  await expect.poll(() => JSON.stringify(warn.mock.calls)).toMatch(/self-signed certificate/);
  expect((await ready()).missing).toContain('NATS');
  await running!.stop();
  running = undefined;
  await secured.stop();
});

it('nats.silentMs: a server that says nothing is dialled anew after so long, and campaigns go on', async () => {
  const [patient, hasty] = [new Way(nats.port), new Way(nats.port)];
  const through = async (way: Way, name: string, silentMs: number) => {
    const started = await start({
      name,
      nats: { servers: [await way.open()], seedFile: `${name}.nk`, silentMs },
    });
    await expect.poll(async () => (await status()).agents, { timeout: 60_000 }).toBe(1);
    return started;
  };
  const other = await through(patient, 'again', 60_000);
  await through(hasty, 'campaigns', 2000);
  const [before, since] = [patient.connections, hasty.connections];
  for (const way of [patient, hasty]) way.block();
  await vi.waitUntil(() => hasty.connections > since, { timeout: 60_000 });
  // Nor does it wait for an answer at its end.
  await other.stop();
  expect(patient.connections).toBe(before);
  await order(6000);
  await heard(3);
  for (const way of [patient, hasty]) way.close();
});

it('NATS goes and comes back: it is told, and nobody is asked who is not there yet', async () => {
  await start();
  await expect.poll(async () => (await status()).agents, { timeout: 60_000 }).toBe(1);
  nats.kill();
  await expect.poll(async () => (await ready()).missing, { timeout: 60_000 }).toEqual(['NATS']);
  expect(await status()).toMatchObject({ agents: 0 });
  await order(6000);
  await expect.poll(async () => (await status()).running, { timeout: 60_000 }).toBe(1);
  await nats.restart();
  await heard(3);
  await expect.poll(ready).toEqual({ ready: true, missing: [] });
});

it('maxPerMinute and timeoutMs may change while it runs', async () => {
  // It would take five minutes.
  await start({ maxPerMinute: 60 });
  await order(6000, 300);
  await heard(1);
  configure({ maxPerMinute: 600_000, timeoutMs: 3000 });
  await running!.reload!();
  await heard(300);
  expect(tasks.at(-1)).toMatchObject({ timeoutMs: 3000 });
});

it('maxPerMinute: all together, whatever was ordered', async () => {
  await start({ maxPerMinute: 60 });
  await order(6000, 50);
  await heard(1);
  const since = performance.now();
  await heard(3);
  expect(performance.now() - since).toBeGreaterThan(1000);
});

it('analytics: a token that does not reach so far is none, and is told', async () => {
  await start({ analytics: { url: served.url, tokenFile: 'weak' } });
  await order(6000, 1);
  await expect.poll(async () => (await ready()).missing).toEqual(['analytics']);
  expect(tasks).toEqual([]);
});

it('at SIGTERM tells how far it is; the next goes on there, nothing twice and nothing left out', async () => {
  await start();
  const { id } = await order(600, 40);
  await heard(5);
  await running!.stop();
  running = undefined;
  // Nothing is sent any more; whoever goes on does so behind what was sent.
  await agent.flush();
  const before = tasks.length;
  expect(before).toBeLessThan(40);
  await start();
  await expect
    .poll(async () => (await ordered('done')).map((one) => one.id), { timeout: 60_000 })
    .toContain(id);
  await heard(40);
  const ports = tasks.map(({ targets }) => targets[0]!.port);
  expect(ports).toEqual(Array.from({ length: 40 }, (_, i) => 1 + i));
});

it('an agent not heard of for ten seconds, by the clock given, is asked nothing', async () => {
  await start();
  await expect.poll(async () => (await status()).agents, { timeout: 60_000 }).toBe(1);
  clearInterval(beat);
  await agent.flush();
  aheadMs = 11_000;
  // What was on its way may be heard with the new time; then the clock goes on.
  await expect
    .poll(
      async () => {
        aheadMs += 11_000;
        return (await status()).agents;
      },
      { timeout: 60_000 },
    )
    .toBe(0);
  aheadMs = 0;
  beat = setInterval(() => agent.publish(subjects.agentStatus('lima'), alive), 100);
});

it.each([3_600_000, -3_600_000])(
  'a clock that jumps by %i ms and back: orders are heard, and ended',
  async (by) => {
    await start();
    const wait = { timeout: 60_000 };
    for (const ahead of [by, 0]) {
      aheadMs = ahead;
      const { id } = await order(60, 500);
      await expect.poll(async () => (await status()).running, wait).toBe(1);
      await post(`campaigns/${id}/stop`, {});
      await expect.poll(async () => (await status()).running, wait).toBe(0);
      await expect.poll(async () => (await status()).agents, wait).toBe(1);
    }
  },
);
