/** The disk under the coordinators' Postgres is full. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { type PostgresServer, startPostgres } from '@mecai/database/testing';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { type Endpoint, type Network, serverCertificate, startNetwork, tlsServer } from '../network/index.ts';

const patience = { timeout: 90_000, interval: 200 };
const generous = { perMinute: 100_000_000, burst: 100_000_000 };
const directory = mkdtempSync(join(tmpdir(), 'mecai-full-postgres-'));
const endpoints: Endpoint[] = [];
let postgres: PostgresServer;
let network: Network;

beforeAll(async () => {
  // What it writes ahead has room in the file that it has already.
  postgres = await startPostgres({ diskMegabytes: 128, settings: { max_wal_size: '32MB' } });
  network = await startNetwork({
    directory,
    signer: { draws: { perEndpoint: 100_000 } },
    coordinator: {
      database: await postgres.fresh(),
      limits: { authenticated: generous, unauthenticated: generous, target: generous, global: generous },
      probe: { timeoutMs: 8_000, graceMs: 0 },
    },
  });
}, 180_000);
afterAll(async () => {
  await network.stop();
  for (const endpoint of endpoints) await endpoint.close();
  await postgres.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What comes of a request about a certificate that nobody has asked about yet. */
async function firstSight(serverName: string): Promise<string> {
  const { webIntermediate } = network.pki;
  const chain = [serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate] as const;
  const endpoint = await tlsServer(chain, '127.0.0.81');
  endpoints.push(endpoint);
  const { results } = await requestVoucher(
    network.vrpUrl,
    {
      ipv4: Uint8Array.of(127, 0, 0, 81),
      port: endpoint.port,
      serverName,
      chains: [chain.map(({ der }) => der)],
    },
    { ca: readFileSync(network.files.httpsCa, 'utf8') },
  );
  return `${results[0]!.status}: ${results[0]!.detail ?? ''}`;
}

it('gives a clear answer, and on it goes by itself when there is room', async () => {
  expect(await firstSight('www.before.test')).toMatch(/^issued/);
  const { pid } = network.coordinator;
  const free = await postgres.fill();
  onTestFinished(free);
  // Pages that are there already take a few.
  let said = '';
  for (let i = 0; i < 200 && !said.startsWith('inconclusive'); i++) {
    said = await firstSight(`www.new-${i}.test`);
    expect(said).toMatch(/^(issued|inconclusive)/);
  }
  expect(said).toMatch(/^inconclusive: the certificate log is away/);
  await free();
  let after = 0;
  await expect.poll(() => firstSight(`www.after-${after++}.test`), patience).toMatch(/^issued/);
  expect(network.coordinator.pid).toBe(pid);
  const ready = await fetch(`${network.coordinator.ready['admin']}/readyz`);
  expect(await ready.json()).toMatchObject({ missing: [] });
}, 240_000);
