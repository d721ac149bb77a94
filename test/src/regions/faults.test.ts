/** A short run; the long one is `npm run bench -- faults`. Nothing here is about speed: machines are busy. */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { openDatabase } from '@mecai/database';
import { parseSignedVoucher } from '@mecai/voucher';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { natsServerIsForClusters, natsServerVersion } from '../parts/nats-server.ts';
import { asOperator, settle } from './accounts.ts';
import { type Deed, type Fault, isPossible } from './faults.ts';
import { type Regions, startRegions } from './regions.ts';
import { type Site, openSite } from './site.ts';
import { type Theatre, openTheatre } from './theatre.ts';

const patience = { recoveryMs: 200_000, row: 5 };
const isSilentNode = ({ part: { kind }, deed }: Fault) => kind === 'nats' && deed === 'cut off';
/** Silence of a node takes longer to be noticed, and then its streams elect other leaders, in up to 9 s. */
const faultMs = (fault: Fault) => (isSilentNode(fault) ? 12_000 : 2_000);
let directory: string;
let regions: Regions;
let theatre: Theatre;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-regions-'));
  regions = await startRegions({
    directory,
    sinks: 1,
    agentsTogether: true,
    coordinator: {
      probe: { timeoutMs: 10_000, graceMs: 1_000 },
      certificateLog: { hold: { maxMs: 3_000 } },
    },
  });
  theatre = await openTheatre(regions, { perSecond: 5, deadlineMs: 240_000, outstanding: 12 });
}, 300_000);
afterAll(async () => {
  await theatre.close();
  await regions.stop();
  rmSync(directory, { recursive: true, force: true });
});

const part = (name: string) => regions.parts.find((one) => one.name === name)!;

/** On a busy machine perspectives may be late, and certificates are on hold at first: asks until there is a voucher. */
async function voucherOf(vrpUrl: string, { request }: Site): Promise<Uint8Array> {
  for (;;) {
    const { results } = await requestVoucher(vrpUrl, request, { ca: regions.httpsCa, timeoutMs: 60_000 });
    const { status, voucher } = results[0]!;
    if (voucher) return voucher;
    expect(['inconclusive', 'on-hold']).toContain(status);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

it('vouchers through each coordinator, from each signer under one name', { timeout: 300_000 }, async () => {
  await theatre.untilUsual(200_000, 5);
  const site = await openSite(regions, 'www.each.test');
  for (const { vrpUrl } of regions.coordinators) {
    const names = new Set<string>();
    const serials = new Set<string>();
    while (serials.size < regions.signers.length) {
      const voucher = await voucherOf(vrpUrl, site);
      const { subject, serialNumber } = new X509Certificate(parseSignedVoucher(voucher).vaCertificate);
      names.add(subject);
      serials.add(serialNumber);
    }
    expect(names.size).toBe(1);
  }
  await site.endpoint.close();
});

it('a certificate never seen before has one first sight and one hold, at all coordinators', {
  timeout: 300_000,
}, async () => {
  const site = await openSite(regions, 'www.new.test');
  const ask = (vrpUrl: string) =>
    requestVoucher(vrpUrl, site.request, { ca: regions.httpsCa, timeoutMs: 60_000 });
  const answers = await Promise.all(
    [0, 1, 2, 3].map((i) => ask(regions.coordinators[i % regions.coordinators.length]!.vrpUrl)),
  );
  const held = answers.filter(({ results }) => results[0]!.status === 'on-hold');
  expect(new Set(held.map(({ results }) => results[0]!.detail)).size).toBeLessThanOrEqual(1);
  const wait = performance.now();
  for (const { vrpUrl } of regions.coordinators) await voucherOf(vrpUrl, site);
  console.log(`held ${held.length} of 4; vouchers ${Math.round(performance.now() - wait)} ms later`);
  const database = await openDatabase(regions.database, Math.random);
  const sights = await database.query(
    `select kind from certificate_event e join certificate_name n on n.sha256 = e.sha256
      where n.name = $1 and kind = 'first-sight'`,
    ['www.new.test'],
  );
  await database.close();
  expect(sights).toEqual([{ kind: 'first-sight' }]);
  await site.endpoint.close();
});

it('streams have three replicas', { timeout: 300_000 }, async () => {
  const nats = await asOperator(regions);
  const jsm = await jetstreamManager(nats, { timeout: 20_000, checkAPI: false });
  for (const name of ['RECORDS', 'OBSERVATIONS']) {
    // While it elects its leaders, a cluster does not answer.
    const { config, cluster } = await vi.waitFor(() => jsm.streams.info(name), { timeout: 200_000 });
    expect([config.num_replicas, cluster?.replicas?.length]).toEqual([3, 2]);
  }
  await nats.close();
});

it('the runbook’s script says whether a node may go', { timeout: 300_000 }, async () => {
  const script = join(import.meta.dirname, '../../../docs/operate/nats-current.sh');
  const urls = regions.parts
    .filter(({ kind }) => kind === 'nats')
    .map(({ place }) => `http://${place.address}:8222`);
  const says = (...given: string[]) => {
    const { status, stdout } = spawnSync('sh', [script, ...given], { encoding: 'utf8' });
    return [status, stdout.trim().split('\n')] as const;
  };
  // After an election all of them catch up.
  await expect
    .poll(() => says(...urls), { timeout: 200_000, interval: 500 })
    .toEqual([0, urls.map((url) => `${url}  sees 2 of 2 others, current`)]);
  // Nobody is there; and two of three do not see all.
  const [status, lines] = says(...urls, 'http://127.0.0.1:9');
  expect([status, lines.at(-1)]).toEqual([1, expect.stringMatching(/sees 0 of 3 others, not current: /)]);
  expect(says(...urls.slice(0, 2))[0]).toBe(1);
});

describe('under load', () => {
  it.each<[string, Deed]>([
    ['nats-2', 'killed'],
    ['nats-1', 'cut off'],
    ['leaf-asia', 'killed'],
    ['signer-1', 'paused'],
    ['coordinator-2', 'cut off'],
    ['postgres', 'killed'],
    ['agents-america', 'killed'],
    ['analytics-1', 'killed'],
  ])('%s %s: recovery without hands', { timeout: 300_000 }, async (name, deed) => {
    const fault: Fault = { part: part(name), deed };
    if (!isPossible(fault)) {
      console.log(`${name} cannot be cut off here: that takes root on Linux`);
      return;
    }
    if (isSilentNode(fault) && !natsServerIsForClusters()) {
      // Of 2.9 it is known: copies of the stream differ afterwards, and messages stay in it for good.
      console.log(`${name} is not cut off: ${natsServerVersion()}, clusters need 2.15`);
      return;
    }
    console.log(JSON.stringify(await theatre.suffer(fault, { ...patience, faultMs: faultMs(fault) })));
  });

  it('no acknowledged record is lost, and every request has had a clear answer', {
    timeout: 240_000,
  }, async () => {
    await theatre.closeLoad();
    const { vouchers } = theatre;
    expect(theatre.unclear).toEqual([]);
    expect(new Set(theatre.endings.map(({ status }) => status))).not.toContain('mismatch');
    const accounts = await settle(regions, theatre, { withinMs: 200_000 });
    expect(accounts).toMatchObject({ vouchers: vouchers.length, unsettled: [], wrong: [] });
    expect(accounts.vouchers).toBeGreaterThan(5 * 5);
    // Four at least of each voucher, but for what nobody could hear from a node that was killed.
    expect(accounts.observations).toBeGreaterThan(vouchers.length);
    // The sink has none twice, though agents offered them again and it was killed itself.
    expect(accounts.rows).toBe(accounts.stored);
    console.log(JSON.stringify(accounts));
  });
});
