/** The release before and this one, side by side, as in a rolling upgrade. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { type PostgresServer, startPostgres } from '@mecai/database/postgres-server';
import { VoucherVerifier } from '@mecai/voucher';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Endpoint,
  type ManagedProcess,
  type Network,
  serverCertificate,
  startNetwork,
  startProcess,
  tlsServer,
} from '../network/index.ts';
import { hasRelease, previousRelease, unpackRelease } from './release.ts';

const there = hasRelease(previousRelease);
if (!there) console.warn(`not in this clone: the release before, ${previousRelease}; git fetch --unshallow`);
const today = join(import.meta.dirname, '../../..');
const serverName = 'www.example.test';
const generous = { perMinute: 100_000_000, burst: 100_000_000 };
type Json = Record<string, unknown>;

describe.skipIf(!there)('beside the release before', () => {
  let directory: string;
  let postgres: PostgresServer;
  let network: Network;
  let endpoint: Endpoint;
  const running: ManagedProcess[] = [];
  const at = (name: string) => join(directory, name);
  const before = () => at('release');
  const configOf = (name: string): Json => JSON.parse(readFileSync(at(`${name}.json`), 'utf8')) as Json;
  const write = (name: string, content: object) => {
    writeFileSync(at(name), JSON.stringify(content));
    return at(name);
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mecai-rolling-'));
    unpackRelease(previousRelease, before());
    postgres = await startPostgres();
    network = await startNetwork({
      directory,
      agentProcesses: 1,
      analytics: true,
      signer: { draws: { perEndpoint: 100_000 } },
      coordinator: {
        probe: { graceMs: 0 },
        limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
      },
    });
    const { webIntermediate } = network.pki;
    const chain = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
    endpoint = await tlsServer(chain, '127.0.0.80');
    ask = async (url) => {
      const request = {
        ipv4: Uint8Array.of(127, 0, 0, 80),
        port: endpoint.port,
        serverName,
        chains: [chain.map(({ der }) => der)],
      };
      const { results } = await requestVoucher(url, request, {
        ca: readFileSync(network.files.httpsCa, 'utf8'),
      });
      return results[0]!;
    };
  }, 120_000);
  let ask: (url: string) => Promise<Awaited<ReturnType<typeof requestVoucher>>['results'][number]>;
  afterAll(async () => {
    for (const one of running.toReversed()) await one.stop();
    await network.stop();
    await endpoint.close();
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  async function run(name: string, script: string, args: readonly string[], environment = {}) {
    const one = await startProcess({ name, script, args, logFile: at(`logs/${name}.log`), environment });
    running.push(one);
    return one;
  }
  /** A voucher, once whoever is asked has heard of its agents and signer. */
  async function voucher(url: string): Promise<void> {
    await expect.poll(async () => (await ask(url)).status, { timeout: 60_000, interval: 200 }).toBe('issued');
    const result = await ask(url);
    if (!('voucher' in result) || !result.voucher) throw new Error(result.detail);
    new VoucherVerifier({ roots: [network.pki.vaRoot.der] }).verify(result.voucher, new Date());
  }
  /** Its agents in one process, with what they need to know of the configuration. */
  const startAgents = (root: string, name: string) => {
    const configs = network.cities.map((city) => {
      const { admin, nats: bus, keyFile, location, allowedTargets } = configOf(city.name);
      const { servers, seedFile } = bus as Json;
      const nats = { servers, seedFile };
      const probe = { bindIpv4: city.address };
      const config = { name: city.name, admin, nats, keyFile, location, probe, allowedTargets };
      return write(`${name}.${city.name}.json`, config);
    });
    const script = join(root, 'test/src/network/several-agents.ts');
    return run(
      name,
      script,
      configs.flatMap((file) => ['--config', file]),
    );
  };

  it('is what today’s wire formats and migrations are compared with', async () => {
    expect(textsBelow(join(today, 'proto/released/mecai'))).toEqual(
      textsBelow(join(before(), 'proto/mecai')),
    );
    const coordinator = 'coordinator/src/migrations.ts';
    type Coordinator = { coordinatorMigrations: Record<string, { sql: string }[]> };
    const [old, now] = (await both(coordinator)) as [Coordinator, Coordinator];
    for (const [component, steps] of Object.entries(old.coordinatorMigrations)) {
      expect(now.coordinatorMigrations[component]!.slice(0, steps.length)).toMatchObject(
        steps.map(({ sql }) => ({ sql })),
      );
    }
    type Analytics = { migrations: { statements: string[] }[] };
    const [stored, stores] = (await both('analytics/src/migrations.ts')) as [Analytics, Analytics];
    expect(stores.migrations.slice(0, stored.migrations.length)).toMatchObject(
      stored.migrations.map(({ statements }) => ({ statements })),
    );
  });

  it('agents of the release before answer today’s coordinator and signer', async () => {
    await [...network.agents.values()][0]!.stop();
    const agents = await startAgents(before(), 'agents-before');
    await voucher(network.vrpUrl);
    await voucher(network.vrpUrl);
    expect(agents.log()).not.toMatch(/"level":[56]0/);
  }, 180_000);

  it('a coordinator of the release before takes vouchers from today’s signer, with agents of either, and shares its database with today’s', async () => {
    const start = (root: string, name: string, config: object) =>
      run(name, join(root, 'coordinator/src/main.ts'), ['--config', write(`${name}.json`, config)]);
    const { operators: _, ...rest } = configOf('coordinator');
    const config = { ...rest, database: await postgres.fresh() };
    const old = await start(before(), 'coordinator-before', config);
    await voucher(old.ready['vrp']!);
    const beside = await start(today, 'coordinator-beside', config);
    // Its migrations are done, and the old one goes on.
    await voucher(beside.ready['vrp']!);
    await voucher(old.ready['vrp']!);
    await stopped('agents-before');
    await startAgents(today, 'agents-today');
    await voucher(old.ready['vrp']!);
    await voucher(network.vrpUrl);
    for (const one of [old, beside]) expect(one.log()).not.toMatch(/"level":[56]0/);
  }, 180_000);

  it('today’s coordinator takes vouchers from a signer of the release before', async () => {
    const environment = { SOFTHSM2_CONF: at('softhsm2.conf') };
    const script = join(before(), 'signer/src/main.ts');
    const config = write('signer-before.json', {
      ...configOf('signer'),
      auditLog: at('audit-before.jsonl'),
    });
    const signer = await run('signer-before', script, ['serve', '--config', config], environment);
    const coordinatorConfig = configOf('coordinator') as { signers: Json[] } & Json;
    const coordinator = await run('coordinator-today', join(today, 'coordinator/src/main.ts'), [
      '--config',
      write('coordinator-today.json', {
        ...coordinatorConfig,
        operators: undefined,
        database: { engine: 'sqlite', file: 'today.sqlite' },
        signers: [{ ...coordinatorConfig.signers[0], address: signer.ready['grpc'] }],
      }),
    ]);
    await voucher(coordinator.ready['vrp']!);
  }, 180_000);

  it('a sink of the release before stores what today’s processes say, and today’s goes on with its store', async () => {
    await network.analytics!.stop();
    const store = { kind: 'embedded', directory: at('analytics-before') };
    const config = write('analytics-before.json', { ...configOf('analytics'), store });
    const start = (root: string, name: string) =>
      run(name, join(root, 'analytics/src/main.ts'), ['--config', config]);
    const old = await start(before(), 'analytics-before');
    await voucher(network.vrpUrl);
    const stored = await caughtUp(old);
    expect(stored).toMatchObject({ decisions: expect.toSatisfy((count) => count > 0) });
    await stopped('analytics-before');
    const now = await start(today, 'analytics-today');
    expect(await caughtUp(now)).toEqual(stored);
    await voucher(network.vrpUrl);
    expect((await caughtUp(now)).decisions).toBeGreaterThan(stored.decisions);
  }, 180_000);

  it('mecai-admin of the release before is understood', () => {
    const script = join(before(), 'admin/src/main.ts');
    for (const command of ['agents list', 'distrust list']) {
      const args = [script, ...command.split(' '), '--config', network.files.admin];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      expect([status, stderr]).toEqual([0, '']);
      if (command === 'agents list') expect(stdout).toContain(network.cities[0]!.name);
    }
  });

  const both = (module: string) =>
    Promise.all([before(), today].map((root) => import(/* @vite-ignore */ join(root, module))));

  async function stopped(name: string): Promise<void> {
    const [one] = running.splice(
      running.findIndex((other) => other.name === name),
      1,
    );
    await one!.stop();
  }
});

/** Of every file below, by its place. */
const textsBelow = (directory: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.proto'))
    .toSorted()
    .map((name) => [name, readFileSync(join(directory, name), 'utf8')]);

/** Counts of what is stored, once nothing waits any more. */
async function caughtUp({ ready: { admin } }: ManagedProcess): Promise<{ decisions: number }> {
  type Stream = { waiting: number | null; unacknowledged: number | null };
  const get = async <T>(path: string) => (await (await fetch(admin + path)).json()) as T;
  await expect.poll(async () => (await fetch(`${admin}/readyz`)).status, { timeout: 60_000 }).toBe(200);
  const waits = async () => {
    const { streams } = await get<{ streams: Record<string, Stream> }>('/status');
    return Object.values(streams).flatMap(({ waiting, unacknowledged }) => [waiting, unacknowledged]);
  };
  await expect.poll(waits, { timeout: 60_000 }).toEqual([0, 0, 0, 0]);
  return get('/counts');
}
