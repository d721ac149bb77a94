/** Each option of the whole process does what it says; those not here have a test beside what they are about. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { signRegistry } from '@mecai/corroboration';
import { subjects } from '@mecai/proto';
import { WatchRegistryResponse } from '@mecai/proto/signer';
import { expect, it, vi } from 'vitest';
import { writeMmdb } from '../../test/src/parts/mmdb-writer.ts';
import { Bed, many } from './testing/bed.ts';
import { makeObservation } from './testing/network.ts';
import type { AnalyticsProcess, Status } from './testing/process.ts';

const bed = new Bed();

interface Detection {
  readonly detection: { readonly endpoints: number; readonly openIncidents: number };
}

const ready = (analytics: AnalyticsProcess) => analytics.until('/readyz', (_, code) => code === 200);
/** Detection has read from the store what was seen before; until then all is new to it. */
const remembers = (analytics: AnalyticsProcess) =>
  analytics.until<Detection>('/status', ({ detection }) => detection.endpoints > 0);

it('detection.everySeconds: how often the rules are evaluated', async () => {
  const analytics = await bed.start({ detection: { everySeconds: 3600 } });
  await ready(analytics);
  await bed.publishSkewed();
  await analytics.caughtUp();
  // Longer than it would be by default.
  await delay(6000);
  expect((await analytics.get<Detection>('/status')).detection.openIncidents).toBe(0);
  await analytics.stop();
  const often = await bed.start({ detection: { everySeconds: 0.2 } });
  await ready(often);
  await bed.publishSkewed();
  await often.until<Detection>('/status', ({ detection }) => detection.openIncidents === 1);
  await often.stop();
});

it('detection.lookAgain: without it nothing is ordered, though agents disagree', async () => {
  // So long that no insert is given up, nor what is being ordered with it.
  const redeliverMs = 120_000;
  const analytics = await bed.start({ redeliverMs, detection: { everySeconds: 0.2, lookAgain: false } });
  await ready(analytics);
  const { certificates } = bed.network;
  const { target } = makeObservation(bed.network, 0, 'lima', 0);
  for (const n of [0, 1, 2]) await bed.publishChanged(n, { target, chain: [certificates[n === 2 ? 1 : 0]!] });
  await analytics.caughtUp();
  // Seen by an evaluation that had the disagreement before it.
  await bed.publishSkewed();
  await analytics.until<Detection>('/status', ({ detection }) => detection.openIncidents > 0);
  // Which waits for what is being ordered.
  await analytics.stop();
  expect(await bed.stored('SELECT name FROM campaigns')).toEqual([]);
});

it('detection.maxEndpoints: how many endpoints are remembered', async () => {
  const analytics = await bed.start({ detection: { maxEndpoints: 100 } });
  await ready(analytics);
  await many(0, 150, bed.publishObservation);
  await analytics.caughtUp();
  expect((await remembers(analytics)).detection.endpoints).toBe(100);
  await analytics.stop();
});

it('matchesStored and ratesRetentionDays: what is stored, and for how long', async () => {
  const analytics = await bed.start({ matchesStored: 0.5, ratesRetentionDays: 3 });
  await ready(analytics);
  const { target, chain } = makeObservation(bed.network, 0, 'lima', 0);
  const same = { target, chain, possessionProven: true, failure: undefined };
  // One to compare with, taken in.
  await bed.publishChanged(0, same);
  await remembers(analytics);
  await many(1, 201, (n) => bed.publishChanged(n, same));
  const { observations, rates } = await analytics.caughtUp();
  expect(observations).toBeGreaterThan(50);
  expect(observations).toBeLessThan(150);
  // Those that are stored stand for the others.
  expect(rates).toBeGreaterThan(observations);
  await analytics.stop();
  const [row] = await bed.stored<{ table: string }>(
    "SELECT create_table_query AS table FROM system.tables WHERE name = 'rates_by_hour'",
  );
  expect(row!.table).toContain('toIntervalDay(3)');
});

it('unverifiedBeyond, logLevel and geoip: what waits is not verified, nothing is logged, addresses are placed', async () => {
  const [country, asn] = [join(bed.directory, 'country.mmdb'), join(bed.directory, 'asn.mmdb')];
  writeMmdb(country, [{ prefix: '192.0.2.0/24', record: { country: { iso_code: 'JP' } } }], {
    databaseType: 'GeoLite2-Country',
  });
  writeMmdb(asn, [{ prefix: '192.0.2.0/24', record: { autonomous_system_number: 64_999 } }], {
    databaseType: 'GeoLite2-ASN',
  });
  const analytics = await bed.start({ unverifiedBeyond: 0, logLevel: 'error', geoip: { country, asn } });
  await ready(analytics);
  await many(0, 3, bed.publishObservation);
  await remembers(analytics);
  // More than it has asked for: the others wait in the stream.
  analytics.child.kill('SIGSTOP');
  const refused = { possessionProven: false, chain: [], failure: { class: 'refused', alert: 0, detail: '' } };
  await many(3, 1003, (n) => bed.publishChanged(n, refused));
  analytics.child.kill('SIGCONT');
  await analytics.caughtUp();
  expect(analytics.log()).toBe('');
  await analytics.stop();
  const [row] = await bed.stored<{ unverified: number; placed: number }>(
    `SELECT toUInt32(countIf(NOT verified)) AS unverified,
        toUInt32(countIf(target_country = 'JP' AND target_asn = 64999)) AS placed FROM observations`,
  );
  expect(row!.placed).toBe(1003);
  expect(row!.unverified).toBeGreaterThan(0);
});

it('registryKeys: the file counts with a signature only, and what coordinators tell counts too', async () => {
  const operator = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [registry, key] = [join(bed.directory, 'registry.json'), join(bed.directory, 'operator.pub')];
  writeFileSync(key, operator.publicKey.export({ format: 'pem', type: 'spki' }));
  const agents = JSON.parse(readFileSync(bed.network.registry, 'utf8')) as object;
  const signed = (version: number) => {
    const bytes = Buffer.from(JSON.stringify({ ...agents, version }));
    return { registry: bytes, signature: signRegistry(bytes, operator.privateKey) };
  };
  const [first, second] = [signed(1), signed(2)];
  writeFileSync(registry, first.registry);
  const options = { registry, registryKeys: [key] };
  await expect(bed.start(options)).rejects.toThrow(/registry\.json\.sig/);
  writeFileSync(`${registry}.sig`, Buffer.from(first.signature).toString('base64'));
  const analytics = await bed.start(options);
  await ready(analytics);
  const update = WatchRegistryResponse.encode(second).finish();
  const heard = () => {
    bed.as('va1').publish(subjects.registry('va1'), update);
    return analytics.log().includes('another registry');
  };
  await vi.waitUntil(heard, { timeout: 100_000, interval: 50 });
  await analytics.stop();
  rmSync(`${registry}.sig`);
  const file = join(bed.directory, 'analytics.json');
  const args = [
    join(import.meta.dirname, 'recompute.ts'),
    '--config',
    file,
    '--from',
    '2026-01-01T00:00:00Z',
  ];
  const again = promisify(execFile)(process.execPath, args);
  await expect(again).rejects.toMatchObject({
    stderr: expect.stringContaining('registry.json.sig') as string,
  });
});

it('batch.ms: how long an observation waits for others', async () => {
  const analytics = await bed.start({ batch: { rows: 200, ms: 2500 } });
  await ready(analytics);
  const began = performance.now();
  await bed.publishObservation(0);
  await analytics.until<Status>('/status', ({ streams }) => streams.observations.stored === 1);
  expect(performance.now() - began).toBeGreaterThan(2400);
  await analytics.stop();
});

it('telemetry: metrics go to a collector', async () => {
  const asked = Promise.withResolvers<string>();
  const collector = createServer((request, response) => {
    const take = async () => {
      const body = await text(request);
      if (request.url === '/v1/metrics') asked.resolve(body);
      response.end('{}');
    };
    void take();
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const analytics = await bed.start({ telemetry: { collector: url, metricsEveryMs: 100 } });
  expect(await asked.promise).toContain('mecai.analytics.behind');
  await analytics.stop();
  collector.close();
});
