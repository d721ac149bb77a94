/** Declared places against GeoIP, and against the speed of light, with a distance made of waiting. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentStatus, type RoundTrip, subjects } from '@mecai/proto';
import { connect as connectNats, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Network, sixCities, startNetwork } from '../network/index.ts';
import { writeMmdb } from '../parts/mmdb-writer.ts';

const patience = { timeout: 60_000 };
/** Each way. Light to Sydney takes half as long. */
const delayMs = 120;
const named = (name: string) => sixCities.find((one) => one.name === name)!;

/** Where GeoIP has Frankfurt's address. */
const elsewhere = 64_999;
const byGeoip = `network: declared AS${named('frankfurt').asn}, GeoIP AS${elsewhere}`;

let directory: string;
let network: Network;
let far: Server;
const sockets = new Set<Socket>();

/** On the way through here everything takes a while longer, by the clock: timers alone are early after a long pause. */
function pass(from: Socket, to: Socket): void {
  sockets.add(from);
  const onTheWay: { readonly chunk: Buffer; readonly due: number }[] = [];
  const arrive = () => {
    const now = performance.now();
    while (onTheWay[0] && onTheWay[0].due <= now) to.write(onTheWay.shift()!.chunk);
    if (onTheWay[0]) setTimeout(arrive, onTheWay[0].due - now);
  };
  from.on('data', (chunk: Buffer) => {
    if (onTheWay.push({ chunk, due: performance.now() + delayMs }) === 1) setTimeout(arrive, delayMs);
  });
  from.on('close', () => to.destroy());
  from.on('error', () => to.destroy());
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-places-'));
  network = await startNetwork({
    directory,
    cities: [named('sydney'), named('frankfurt'), named('singapore')],
  });
  far = createServer((socket) => {
    const onwards = connect(network.nats.port, '127.0.0.1');
    pass(socket, onwards);
    pass(onwards, socket);
  });
  await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve));
  const { port } = far.address() as AddressInfo;
  const asn = join(directory, 'elsewhere.mmdb');
  writeMmdb(asn, [{ prefix: '127.0.0.0/8', record: { autonomous_system_number: elsewhere } }], {
    databaseType: 'GeoLite2-ASN',
  });
  // The far one first: who is asked before it is far is known to be near.
  for (const name of ['sydney', 'frankfurt', 'singapore']) {
    const file = join(directory, `${name}.json`);
    const config = JSON.parse(readFileSync(file, 'utf8')) as {
      nats: { servers: string[] };
      geoip: { asn: string };
    };
    if (name === 'frankfurt') config.geoip.asn = asn;
    // Sydney is far away; Singapore says that it is, and is next door to Frankfurt.
    if (name === 'sydney') config.nats.servers = [`nats://127.0.0.1:${port}`];
    writeFileSync(file, JSON.stringify({ ...config, roundTrips: { everyMs: 200 } }));
    await network.agents.get(name)!.restart();
  }
}, 120_000);
afterAll(async () => {
  await network.stop();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => far.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

const coordinator = async (path: string) =>
  (await fetch(`${network.coordinator.ready['admin']}${path}`)).text();
const contradictions = async () => {
  const { perspectives } = JSON.parse(await coordinator('/status')) as {
    perspectives: { name: string; contradictions: string[] }[];
  };
  return new Map(perspectives.map((one) => [one.name, one.contradictions]));
};

/** What `mecai-admin agents list` prints. */
function listed(): string {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      join(import.meta.dirname, '../../../admin/src/main.ts'),
      'agents',
      'list',
      '--config',
      network.files.admin,
    ],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  return stdout;
}

test('what GeoIP says against a place is seen by the coordinator, and by the operator', async () => {
  await expect.poll(async () => (await contradictions()).get('frankfurt'), patience).toContain(byGeoip);
  const found = await contradictions();
  for (const name of ['singapore', 'sydney']) expect(found.get(name)).not.toContain(byGeoip);
  const lines = listed().split('\n');
  const frankfurt = lines.findIndex((line) => /^ +frankfurt /.test(line));
  expect(lines[frankfurt + 1]).toBe(`    ! ${byGeoip}`);
  expect(lines.filter((line) => line.includes('GeoIP'))).toHaveLength(1);
});

test('who is nearer than light allows is seen by the coordinator, in its metrics, and by the operator', async () => {
  await expect.poll(async () => (await contradictions()).get('singapore'), patience).toHaveLength(1);
  const found = await contradictions();
  expect(found.get('singapore')![0]).toMatch(
    /^place: frankfurt is [\d.]+ ms away and back, light takes 67\.\d ms: one of the two/,
  );
  expect(found.get('frankfurt')!.filter((one) => one.startsWith('place: '))).toHaveLength(1);
  expect(found.get('sydney')).toEqual([]);

  const metrics = await coordinator('/metrics');
  const figure = (agent: string) =>
    new RegExp(`^mecai_agent_place_contradicted\\{[^}]*agent="${agent}"[^}]*\\} (\\d+)`, 'm').exec(
      metrics,
    )?.[1];
  expect(['frankfurt', 'singapore', 'sydney'].map(figure)).toEqual(['1', '1', '0']);

  const stdout = listed();
  expect(stdout.match(/^ {4}! place: /gm)).toHaveLength(2);
  expect(stdout).toMatch(/singapore .*\n {4}! place: frankfurt is/);
});

test('the far one is measured all the same: it answers no sooner than light', async () => {
  const operator = await connectNats({
    servers: network.nats.url,
    authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
  });
  const measured: RoundTrip[] = [];
  operator.subscribe(subjects.agentStatus('frankfurt'), {
    callback: (_, { data }) => {
      const { roundTrip } = AgentStatus.decode(data);
      if (roundTrip?.peer === 'sydney') measured.push(roundTrip);
    },
  });
  await expect.poll(() => measured.length, patience).toBeGreaterThan(0);
  expect(measured[0]!.micros).toBeGreaterThan(2_000 * delayMs);
  await operator.close();
});
