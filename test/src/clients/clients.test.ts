/** What clients read of a running VA, and what they tell it: the perspective directory, reports, statistics. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  changesOf,
  type DirectoryMark,
  fetchDirectory,
  fetchHistory,
  submitReport,
  submitStatistics,
  vaAgent,
} from '@mecai/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { eightCities, serverCertificate } from '../network/index.ts';
import { freePort } from '@mecai/addresses/testing';
import { Asker, serverName } from '../trust/asker.ts';

// Processes start and restart, on machines of any load.
vi.setConfig({ testTimeout: 120_000 });
let asker: Asker;
let agent: ReturnType<typeof vaAgent>;
const cities = eightCities.slice(0, 7);
beforeAll(async () => {
  asker = await Asker.start({
    cities,
    analytics: { api: { listen: '127.0.0.1:0', anonymousRead: true } },
    signer: { listen: `127.0.0.1:${await freePort()}` },
    coordinator: { limits: { routes: { perMinute: 6_000, burst: 1_000 } } },
  });
  agent = vaAgent({ ca: readFileSync(asker.network.files.httpsCa, 'utf8') });
}, 120_000);
afterAll(async () => {
  agent.destroy();
  await asker.close();
});

const options = () => ({ roots: [asker.network.pki.vaRoot.der], now: new Date(), agent });
const vrp = () => asker.network.vrpUrl;

test('vouchers name a version of the directory, which says where the perspectives are', async () => {
  const { webIntermediate } = asker.network.pki;
  const ask = await asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
  // Agents may still be on their way.
  let result = await ask();
  await expect
    .poll(async () => (result = await ask()).status, { timeout: 60_000, interval: 500 })
    .toBe('issued');
  const voucher = asker.content(result);
  const { directory } = await fetchDirectory(vrp(), options(), voucher.directoryVersion);
  expect(directory.quorum).toMatchObject(voucher.quorum);
  expect(directory.trustContexts).toEqual(voucher.trustContexts);
  const places = directory.perspectives.map(({ country, rir, asn }) => `${country} ${rir} ${asn}`);
  for (const { country, rir, asn } of voucher.perspectives)
    expect(places).toContain(`${country} ${rir} ${asn}`);
  expect(directory.perspectives).toHaveLength(cities.length);
});

test('a change of the registry is a new version, linked to the one that readers know, also after a restart', async () => {
  const { directory, digest } = await fetchDirectory(vrp(), options());
  const mark: DirectoryMark = { version: directory.version, digest };
  const gone = cities[2]!;
  const { admin, registryKey } = asker.network.files;
  const script = join(import.meta.dirname, '../../../admin/src/main.ts');
  const why = ['--reason', 'test', '--author', 'Kim'];
  const args = [script, 'agents', 'remove', gone.name, '--key', registryKey, ...why, '--config', admin];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const history = () => fetchHistory(vrp(), { ...options(), mark });
  await expect.poll(async () => (await history()).length, { timeout: 60_000 }).toBe(2);
  const [, change] = changesOf(await history());
  expect(change!.lines).toEqual([expect.stringContaining(`- perspective ${gone.city} `)]);
  await asker.network.signer.restart();
  await expect.poll(async () => (await history().catch(() => [])).length, { timeout: 60_000 }).toBe(2);
});

test('reports and statistics come into analytics; the same again is counted, not stored', async () => {
  const { webRoot } = asker.network.pki;
  const report = {
    address: '127.0.0.80',
    port: 443,
    serverName,
    chain: [Buffer.from(webRoot.der).toString('base64')],
    seenAt: '2026-11-22T12:00:00Z',
    codes: ['no-voucher'],
    vas: ['second-opinion'],
    mode: 'enforce',
    vouchers: [],
  } as const;
  for (let i = 0; i < 3; i++) await submitReport(vrp(), report, { agent });
  await submitStatistics(vrp(), { day: '2026-11-22', counts: [{ code: 'accepted', checks: 9 }] }, { agent });
  const api = asker.network.analytics!.ready['api'];
  const stored = async () =>
    ((await (await fetch(`${api}/api/v1/client-reports?code=no-voucher`)).json()) as { items: object[] })
      .items;
  // The third was the same as the second, and is not stored again before the fourth.
  await expect.poll(async () => (await stored()).length, { timeout: 60_000, interval: 300 }).toBe(2);
  const [one] = await stored();
  expect(one).toMatchObject({
    address: '127.0.0.80',
    server_name: serverName,
    codes: ['no-voucher'],
    mode: 'enforce',
  });
});
