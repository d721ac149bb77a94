/** Coordinators hear the list and each change to it. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { WatchDistrustResponse } from '@mecai/proto/signer';
import { afterEach, expect, it } from 'vitest';
import { clientOf, serveWorld } from './testing/serve.ts';
import { coordinator, createWorld } from './testing/world.ts';

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function serve() {
  const world = createWorld();
  const service = await serveWorld(world);
  stops.push(() => service.close());
  const watch = (id = coordinator) => {
    const client = clientOf(service.port, id);
    stops.push(() => client.close());
    return heard(client.watchDistrust({}));
  };
  return { world, service, watch };
}

function heard(stream: ClientReadableStream<WatchDistrustResponse>) {
  const news: string[] = [];
  stream.on('data', ({ records, complete }: WatchDistrustResponse) => {
    news.push(...records.map(({ id, lifted }) => (lifted ? `${id} lifted` : id)));
    if (complete) news.push('complete');
  });
  stream.on('error', ({ message }) => news.push(message));
  stream.on('end', () => news.push('end'));
  return news;
}

const by = { at: 1, reason: 'key on sale', author: 'Ada', identity: 'spiffe://mecai.test/operator' };
const entry = (n: number) =>
  ({
    id: n.toString(16).padStart(12, '0'),
    subject: { kind: 'operator', organization: `Broken ${n}` },
  }) as const;
const within = { timeout: 60_000, interval: 10 };

it('all of it in the order set, then each change, once it is on the disk', async () => {
  const { world, service, watch } = await serve();
  const { audit } = world.parts;
  const before = Array.from({ length: 250 }, (_, n) => entry(n));
  for (const one of before) await world.distrust.set(one, by, audit);
  await world.distrust.lift(before[3]!.id, by, audit);
  const news = [watch(), watch()];
  const all = before.map(({ id }, n) => (n === 3 ? `${id} lifted` : id));
  for (const one of news) await expect.poll(() => one, within).toEqual([...all, 'complete']);

  const full = () => Promise.reject(new Error('no space left'));
  await expect(world.distrust.set(entry(300), by, full)).rejects.toThrow('no space left');
  await world.distrust.set(entry(301), by, audit);
  await world.distrust.set(entry(301), by, audit);
  await world.distrust.lift(entry(301).id, by, audit);
  await world.distrust.lift(entry(301).id, by, audit);
  const { id } = entry(301);
  await expect.poll(() => news[0], within).toEqual([...all, 'complete', id, `${id} lifted`]);
  await service.close();
  await expect.poll(() => news[1]!.at(-1), within).toBe('end');
});

it('nobody else hears it', async () => {
  const { watch } = await serve();
  const news = watch('spiffe://mecai.test/stranger');
  await expect
    .poll(() => news.filter((one) => one !== 'end'), within)
    .toEqual([expect.stringContaining('PERMISSION_DENIED')]);
});
