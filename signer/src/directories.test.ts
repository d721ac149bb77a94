import { sign } from 'node:crypto';
import { parseRegistry, type QuorumPolicy } from '@mecai/corroboration';
import { verifyDirectory } from '@mecai/voucher';
import { testKey, testVa } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { Directories } from './directories.ts';

const now = new Date('2026-11-22T12:00:00.500Z');
const policy: QuorumPolicy = {
  perspectives: 2,
  minRegions: 1,
  minNetworks: 1,
  minDistanceKm: 500,
  matchIntermediates: true,
};
const keys = [testKey(), testKey(), testKey()].map(({ publicKey }) =>
  publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
);
const registry = (version: number, agents = 2) =>
  parseRegistry(
    JSON.stringify({
      version,
      agents: keys.slice(0, agents).map((publicKey, i) => ({
        name: `agent-${i}`,
        publicKey,
        city: ['Frankfurt', 'Quito', 'Suva'][i],
        country: ['DE', 'EC', 'FJ'][i],
        latitude: [50.11, -0.4, -18.14][i],
        longitude: [8.68, -78.6, 178.44][i],
        rir: ['ripencc', 'lacnic', 'apnic'][i],
        asn: 64_496 + i,
      })),
    }),
  );
const published = (version: number, agents?: number) => ({
  registry: registry(version, agents),
  policy,
  trustContexts: ['MOZ'],
});

function log() {
  const records: unknown[] = [];
  const audit = (record: unknown) => Promise.resolve(records.push(JSON.parse(JSON.stringify(record))));
  return { records, audit };
}
function restarted(records: readonly unknown[]): Directories {
  const directories = new Directories();
  for (const record of records) directories.replay(record);
  return directories;
}
const va = testVa();
const chainOf = ({ certificate, intermediate }: typeof va) => ({
  certificate: certificate.der,
  intermediates: [intermediate.der],
  notAfter: new Date('2028-01-01T00:00:00Z'),
});
function read(directories: Directories, version = 0, by = va) {
  const document = directories.document(version, chainOf(by), (bytes) =>
    sign('sha256', bytes, by.certificate.privateKey),
  );
  return document && verifyDirectory(document, { roots: [by.root.der], now });
}

it('publishes where the perspectives are, to whole degrees, without names and keys', async () => {
  const directories = new Directories();
  await directories.publish(published(3), now, log().audit);
  expect(read(directories)!.directory).toEqual({
    version: 3,
    publishedAt: new Date('2026-11-22T12:00:00Z'),
    quorum: { asked: 2, matches: 1, regions: 1, networks: 1, kilometres: 500, intermediates: true },
    trustContexts: ['MOZ'],
    perspectives: [
      { country: 'DE', city: 'Frankfurt', latitude: 50, longitude: 9, rir: 'ripencc', asn: 64_496 },
      { country: 'EC', city: 'Quito', latitude: 0, longitude: -79, rir: 'lacnic', asn: 64_497 },
    ],
  });
  expect(read(directories, 2)).toBeUndefined();
});

it('has each version linked to the one before, over restarts and new VA certificates', async () => {
  const { records, audit } = log();
  await restarted([]).publish(published(3), now, audit);
  await restarted(records).publish(published(3), new Date(now.getTime() + 60_000), audit);
  expect(records).toHaveLength(1);
  await restarted(records).publish(published(5, 3), now, audit);
  const directories = restarted(records);
  await directories.publish(published(5, 3), now, audit);
  expect(records).toHaveLength(2);
  const first = read(directories, 3)!;
  expect(read(directories)!.directory.previous).toEqual({
    version: 3,
    digest: Buffer.from(first.digest),
  });
  const renewed = testVa();
  expect(read(restarted(records), 3, renewed)!.digest).toEqual(first.digest);
});

it('never publishes a version twice with different contents, nor goes back', async () => {
  const { records, audit } = log();
  const start = (what: ReturnType<typeof published>) => restarted(records).publish(what, now, audit);
  expect(await start(published(3))).toBe(3);
  expect(await start(published(3, 3))).toBe(4);
  expect(await start(published(4, 3))).toBe(4);
  expect(await start({ ...published(4, 3), trustContexts: ['CHROME'] })).toBe(5);
  expect(await start({ ...published(9, 3), policy: { ...policy, minDistanceKm: 0 } })).toBe(9);
  expect(await start(published(3))).toBe(10);
  expect(records).toHaveLength(5);
  expect(read(restarted(records), 4)!.directory.perspectives).toHaveLength(3);
  await expect(start(published(2 ** 32, 3))).rejects.toMatchObject({ code: 'unusable-configuration' });
});

it('is not published unless it is on record', async () => {
  const directories = new Directories();
  const full = () => Promise.reject(new Error('no space left'));
  await expect(directories.publish(published(3), now, full)).rejects.toThrow('no space left');
  expect(read(directories)).toBeUndefined();
  expect(() => restarted([{ sequence: 9, event: 'directory-published', payload: '{}' }])).toThrow(/record 9/);
});

it('before the first agent has joined there is no directory, and afterwards the last one stays', async () => {
  const { records, audit } = log();
  const directories = new Directories();
  expect(await directories.publish(published(1, 0), now, audit)).toBe(0);
  expect(read(directories)).toBeUndefined();
  expect(records).toEqual([]);
  expect(await directories.publish(published(2), now, audit)).toBe(2);
  expect(await directories.publish(published(3, 0), now, audit)).toBe(2);
  expect(read(directories)!.directory.version).toBe(2);
});
