/** NATS over TLS with a private CA: every process that connects knows it, and none goes without. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ManagedProcess, type Network, rootCa, pem, sixCities, startNetwork } from '../network/index.ts';
import { startNatsServer } from '../parts/nats-server.ts';

const patience = { timeout: 60_000 };
let directory: string;
let network: Network;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-nats-tls-'));
  // It is up when coordinator and agent have heard each other.
  network = await startNetwork({
    directory,
    cities: [sixCities[0]!],
    analytics: true,
    dashboard: true,
    natsTls: true,
  });
}, 180_000);
afterAll(async () => {
  await network.stop();
  rmSync(directory, { recursive: true, force: true });
});

const processes = (): [string, ManagedProcess][] => [
  ['coordinator', network.coordinator],
  ['frankfurt', network.agents.get('frankfurt')!],
  ['analytics', network.analytics!],
  ['campaigns', network.campaigns!],
];
const ready = async (process_: ManagedProcess) =>
  (await fetch(`${process_.ready['admin']}/readyz`).catch(() => undefined))?.status;

test('all connect', async () => {
  for (const [, one] of processes()) await expect.poll(() => ready(one), patience).toBe(200);
});

test('none connects to a server of another CA, or to one that speaks in the clear', async () => {
  const plain = await startNatsServer({ directory: join(directory, 'plain') });
  const other = join(directory, 'other-ca.pem');
  writeFileSync(other, pem(rootCa('Other')));
  for (const [name, one] of processes()) {
    const file = join(directory, `${name}.json`);
    const config = JSON.parse(readFileSync(file, 'utf8')) as { nats: object };
    const refusals: [object, RegExp][] = [
      [{ ca: other }, /unable to (verify|get)|self.signed/],
      [{ servers: [plain.url] }, /tls|TLS/],
    ];
    for (const [nats, words] of refusals) {
      writeFileSync(file, JSON.stringify({ ...config, nats: { ...config.nats, ...nats } }));
      const before = one.log().length;
      await one.restart();
      await expect.poll(() => one.log().slice(before), patience).toMatch(words);
      expect(await ready(one), name).toBe(503);
    }
  }
  await plain.stop();
}, 480_000);
