/** An agent is taken out of the registry while its region is cut off: nobody can tell it, and nobody has to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestVoucher } from '@mecai/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eightCities } from '../network/index.ts';
import { operator } from '../registry/operator.ts';
import { signalAll } from './part.ts';
import { type Regions, startRegions } from './regions.ts';
import { type Site, openSite } from './site.ts';

const patience = { timeout: 200_000, interval: 200 };
const captured = eightCities.find(({ name }) => name === 'singapore')!;
const neighbour = eightCities.find(({ name }) => name === 'sydney')!;
let directory: string;
let regions: Regions;
let site: Site;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-revocation-'));
  regions = await startRegions({ directory, coordinators: 2, sinks: 0, agentsTogether: true });
  site = await openSite(regions, 'www.revocation.test');
}, 300_000);
afterAll(async () => {
  await site.endpoint.close();
  await regions.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What becomes of a request at each coordinator: the networks of those who were asked. */
const asked = () =>
  Promise.all(
    regions.coordinators.map(async ({ vrpUrl }) => {
      const answer = await requestVoucher(vrpUrl, site.request, { ca: regions.httpsCa, timeoutMs: 60_000 });
      const { status, perspectives } = answer.results[0]!;
      return { status, networks: perspectives.map(({ asn }) => asn) };
    }),
  );
const anyAsks = async (asn: number) => (await asked()).some(({ networks }) => networks.includes(asn));
const heard = (name: string) =>
  Promise.all(
    regions.coordinators.map(async ({ adminUrl }) => {
      const { perspectives } = (await (await fetch(`${adminUrl}/status`)).json()) as {
        perspectives: { name: string; heard: boolean }[];
      };
      return perspectives.find((one) => one.name === name)?.heard;
    }),
  );

async function statusPage(name: string): Promise<string> {
  for (const url of regions.agentUrls) {
    const status = (await (await fetch(`${url}/status`)).json()) as { name: string };
    if (status.name === name) return `${url}/readyz`;
  }
  throw new Error(`no agent ${name}`);
}

/** The leaf node and the agents of a region: pulled off the wire, or held where nobody can be. */
function cutOff(region: string): () => void {
  const parts = regions.parts.filter(({ name }) => [`leaf-${region}`, `agents-${region}`].includes(name));
  expect(parts).toHaveLength(2);
  for (const part of parts) {
    if (part.place.wire) part.place.wire.cut();
    else signalAll(part, 'SIGSTOP');
  }
  return () => {
    for (const part of parts) {
      if (part.place.wire) part.place.wire.mend();
      else signalAll(part, 'SIGCONT');
    }
  };
}

it('it is out of every quorum within five seconds, and stays out when its region is back', {
  timeout: 400_000,
}, async () => {
  await expect.poll(() => anyAsks(captured.asn), patience).toBe(true);
  const itself = await statusPage(captured.name);
  const mend = cutOff('asia');
  const command = ['agents', 'remove', captured.name, '--config', regions.admin];
  const signed = ['--key', join(directory, 'registry.key'), '--reason', 'captured', '--author', 'Kim'];
  const { code, out, err, since } = await operator(...command, ...signed);
  expect([code, out], err).toEqual([0, expect.stringContaining('is in force at 2 of 2 signers')]);
  // Coordinators are told by the signers.
  await expect
    .poll(() => heard(captured.name), { timeout: 5_000, interval: 20 })
    .toEqual([undefined, undefined]);
  const took = performance.now() - since;
  console.log(`removed while cut off: out of every quorum after ${Math.round(took)} ms`);
  expect(took).toBeLessThan(5_000);
  for (let i = 0; i < 5; i++) expect(await anyAsks(captured.asn)).toBe(false);
  await expect(fetch(itself, { signal: AbortSignal.timeout(500) })).rejects.toThrow();

  mend();
  // It has its keys, its NATS user and its tasks as before.
  await expect.poll(async () => (await fetch(itself)).ok, patience).toBe(true);
  await expect.poll(() => heard(neighbour.name), patience).toEqual([true, true]);
  await expect.poll(() => anyAsks(neighbour.asn), patience).toBe(true);
  for (let i = 0; i < 5; i++) {
    for (const { status: outcome, networks } of await asked()) {
      expect(['issued', 'inconclusive']).toContain(outcome);
      expect(networks).not.toContain(captured.asn);
    }
  }
});
