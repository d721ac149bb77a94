/** What the options of `nats` do to the whole process. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { natsPermissions } from '@mecai/proto';
import { nkeys } from '@nats-io/transport-node';
import { expect, it, vi } from 'vitest';
import { startNatsServer } from '../../test/src/parts/nats-server.ts';
import { Bed } from './testing/bed.ts';
import type { AnalyticsProcess } from './testing/process.ts';
import { makeTls } from './testing/tls.ts';
import { Way } from './testing/way.ts';

const bed = new Bed();
const patience = { timeout: 100_000, interval: 50 };

it('silentMs: a server that says nothing is dialled anew after so long', async () => {
  const followers = [
    { name: 'analytics', silentMs: 1000 },
    { name: 'archive', silentMs: 60_000 },
  ];
  const ways: { way: Way; analytics: AnalyticsProcess }[] = [];
  for (const { name, silentMs } of followers) {
    const way = new Way(bed.network.nats.port);
    const servers = [await way.open()];
    const analytics = await bed.start({
      nats: { servers, seedFile: join(bed.root, `${name}.seed`), name, silentMs },
      store: { kind: 'embedded', directory: name },
    });
    ways.push({ way, analytics });
    await vi.waitUntil(() => way.connections > 0, patience);
  }
  const [hasty, patient] = ways.map(({ way }) => way.connections);
  for (const { way } of ways) way.block();
  await vi.waitUntil(() => ways[0]!.way.connections > hasty!, patience);
  expect(ways[1]!.way.connections).toBe(patient);
  for (const { way, analytics } of ways) {
    await analytics.kill();
    way.close();
  }
});

it('ca: whose servers are trusted', async () => {
  const tls = makeTls(bed.directory);
  const user = nkeys.createUser();
  const seedFile = join(bed.directory, 'user.seed');
  writeFileSync(seedFile, user.getSeed());
  const nats = await startNatsServer({
    directory: join(bed.directory, 'nats'),
    users: [
      { name: 'analytics', publicNkey: user.getPublicKey(), ...natsPermissions.analytics('analytics') },
    ],
    tls,
  });
  const trusting = await bed.start({ nats: { servers: [nats.url], seedFile, ca: tls.certificate } });
  await trusting.until('/readyz', (_, code) => code === 200);
  await trusting.stop();
  const wary = await bed.start({ nats: { servers: [nats.url], seedFile } });
  await vi.waitUntil(() => /self-signed certificate/.test(wary.log()), patience);
  expect(await wary.get('/readyz')).toMatchObject({ missing: expect.arrayContaining(['nats']) as string[] });
  await wary.kill();
  await nats.stop();
});

it('streamReplicas: of the streams it makes, which one server alone cannot have', async () => {
  const manager = await bed.manager();
  const names = async () => {
    const found: string[] = [];
    for await (const { config } of manager.streams.list()) found.push(config.name);
    return found;
  };
  for (const name of await names()) await manager.streams.delete(name);
  const nats = { servers: [bed.network.nats.url], seedFile: bed.network.seedFile };
  const three = await bed.start({ nats: { ...nats, streamReplicas: 3 } });
  await vi.waitUntil(() => /replicas > 1 not supported/.test(three.log()), patience);
  expect(await names()).toEqual([]);
  await three.kill();
  const one = await bed.start({ nats: { ...nats, streamReplicas: 1 } });
  await one.until('/readyz', (_, code) => code === 200);
  expect(await names()).toContain('OBSERVATIONS');
  await one.stop();
});
