/** What a machine does to a process: its clock jumps, its disk is full. Signers have more of this in their own tests. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { inboxPrefix, streams } from '@mecai/proto';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type Endpoint,
  type ManagedProcess,
  type Network,
  serverCertificate,
  startNetwork,
  tlsServer,
} from '../network/index.ts';

const patience = { timeout: 90_000, interval: 200 };
const generous = { perMinute: 100_000_000, burst: 100_000_000 };
const directory = mkdtempSync(join(tmpdir(), 'mecai-machine-'));
const at = (name: string) => join(directory, name);
const endpoints: Endpoint[] = [];
let network: Network;
let nats: NatsConnection;
let jsm: JetStreamManager;
let voucher: () => Promise<string>;

/** Where Debian has it, on whatever processor. */
function libfaketime(): string {
  const found = readdirSync('/usr/lib')
    .map((name) => `/usr/lib/${name}/faketime/libfaketime.so.1`)
    .find((file) => existsSync(file));
  if (!found) throw new Error('libfaketime is not installed: apt-get install faketime');
  return found;
}
const jump = (name: string, by: string) => writeFileSync(at(`${name}.clock`), by);

/** A process with a clock of its own, and a disk of its own where it keeps what it keeps. */
function machine(name: string, disk?: { readonly folder: string; readonly size: string }): string[] {
  jump(name, '+0');
  const clock = [
    'env',
    `LD_PRELOAD=${libfaketime()}`,
    `FAKETIME_TIMESTAMP_FILE=${at(`${name}.clock`)}`,
    'FAKETIME_NO_CACHE=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
    'DONT_FAKE_MONOTONIC=1',
  ];
  if (!disk) return clock;
  mkdirSync(at(disk.folder), { recursive: true });
  const mount = `mount -t tmpfs -o size=${disk.size} tmpfs "$0" && exec "$@"`;
  return ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, at(disk.folder), ...clock];
}
const machines: Record<string, () => string[]> = {
  coordinator: () => machine('coordinator', { folder: 'log', size: '2m' }),
  analytics: () => machine('analytics', { folder: 'analytics', size: '64m' }),
  signer: () => machine('signer'),
  frankfurt: () => machine('frankfurt'),
};

beforeAll(async () => {
  network = await startNetwork({
    directory,
    analytics: { redeliverMs: 2_000 },
    signer: { draws: { perEndpoint: 100_000 } },
    coordinator: {
      database: { engine: 'sqlite', file: at('log/coordinator.sqlite') },
      limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
      probe: { timeoutMs: 8_000, graceMs: 0 },
    },
    command: (name) => machines[name]?.() ?? [],
  });
  nats = await connect({
    servers: network.nats.url,
    authenticator: nkeyAuthenticator(readFileSync(network.files.operatorSeed)),
    inboxPrefix: inboxPrefix('operator'),
  });
  jsm = await jetstreamManager(nats);
  voucher = await site('www.example.test');
}, 180_000);
afterAll(async () => {
  await nats.close();
  await network.stop();
  for (const endpoint of endpoints) await endpoint.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Asks about a server with a certificate of its own; what comes of it. */
async function site(serverName: string): Promise<() => Promise<string>> {
  const { webIntermediate } = network.pki;
  const chain = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
  const endpoint = await tlsServer(chain, '127.0.0.80');
  endpoints.push(endpoint);
  const ca = readFileSync(network.files.httpsCa, 'utf8');
  const request = { ipv4: Uint8Array.of(127, 0, 0, 80), port: endpoint.port, serverName };
  return async () => {
    const chains = [chain.map(({ der }) => der)];
    const [result] = (await requestVoucher(network.vrpUrl, { ...request, chains }, { ca })).results;
    return `${result!.status}: ${result!.detail ?? ''}`;
  };
}

const issued = (ask = voucher) => expect.poll(ask, patience).toMatch(/^issued/);
const missing = async (one: ManagedProcess) =>
  ((await (await fetch(`${one.ready['admin']}/readyz`)).json()) as { missing: string[] }).missing;
/** By the date that it puts on an answer. */
async function minutesAhead(one: ManagedProcess): Promise<number> {
  const { headers } = await fetch(`${one.ready['admin']}/healthz`);
  return Math.round((Date.parse(headers.get('date')!) - Date.now()) / 60_000);
}
/** Observations acknowledged by JetStream that are not stored. */
const waiting = async () => {
  const response = await fetch(`${network.analytics!.ready['admin']}/counts`);
  const { observations } = (await response.json()) as { observations: number };
  return (await jsm.streams.info(streams.observations.name)).state.last_seq - observations;
};

describe.each(['+3600s', '-3600s'])('a clock that jumps by %s', (by) => {
  it.each(['coordinator', 'frankfurt', 'analytics'] as const)(
    'under %s: it goes on, and afterwards too',
    async (name) => {
      await issued();
      onTestFinished(() => jump(name, '+0'));
      jump(name, by);
      const process = name === 'frankfurt' ? network.agents.get(name)! : network[name]!;
      await expect.poll(() => minutesAhead(process), patience).toBe(Number.parseInt(by, 10) / 60);
      for (let i = 0; i < 3; i++) await issued();
      await expect.poll(waiting, patience).toBe(0);
      jump(name, '+0');
      for (let i = 0; i < 3; i++) await issued();
      await expect.poll(waiting, patience).toBe(0);
    },
    240_000,
  );

  it('under the signer: it signs nothing, says why, and goes on by itself', async () => {
    await issued();
    onTestFinished(() => jump('signer', '+0'));
    jump('signer', by);
    await expect.poll(voucher, patience).toMatch(/^inconclusive: signer: the clock is \d+ s/);
    expect(await missing(network.signer)).toContainEqual(expect.stringMatching(/^the clock is 3[56]\d\d s/));
    jump('signer', '+0');
    await issued();
    expect(await missing(network.signer)).toEqual([]);
  }, 240_000);
});

describe('a full disk', () => {
  /** Fills what is left of the disk that this process sees; frees it again. */
  function fill(one: ManagedProcess, folder: string): () => void {
    const filler = `/proc/${one.pid}/root${at(folder)}/filler`;
    expect(() => writeFileSync(filler, Buffer.alloc(64 * 1_048_576))).toThrow(/ENOSPC/);
    return () => rmSync(filler, { force: true });
  }

  it('under the coordinator’s database: a clear answer for what is new, and on it goes when there is room', async () => {
    const { coordinator } = network;
    const before = coordinator.pid;
    const free = fill(coordinator, 'log');
    onTestFinished(free);
    // Each is a first sight; what is left of the write-ahead log may take a few.
    let said = '';
    for (let i = 0; i < 60 && !said.startsWith('inconclusive'); i++) {
      said = await (await site(`www.new-${i}.test`))();
      expect(said).toMatch(/^(issued|inconclusive)/);
    }
    expect(said).toMatch(/^inconclusive: the certificate log is away/);
    free();
    await issued(await site('www.afterwards.test'));
    await issued();
    expect(coordinator.pid).toBe(before);
    expect(await missing(coordinator)).toEqual([]);
  }, 240_000);

  it('under ClickHouse: vouchers come as before, and what waits is stored when there is room', async () => {
    const analytics = network.analytics!;
    const before = analytics.pid;
    await expect.poll(waiting, patience).toBe(0);
    const free = fill(analytics, 'analytics');
    onTestFinished(free);
    for (let i = 0; i < 5; i++) await issued();
    await expect.poll(() => analytics.log(), patience).toMatch(/not stored|No space left|NOT_ENOUGH_SPACE/i);
    for (let i = 0; i < 5; i++) await issued();
    free();
    await expect.poll(waiting, patience).toBe(0);
    expect(analytics.pid).toBe(before);
    expect(await missing(analytics)).toEqual([]);
  }, 240_000);
});
