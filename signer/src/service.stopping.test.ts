/** The signer's gRPC side when the process is told to stop. */
import { status } from '@grpc/grpc-js';
import { RefusalCode } from '@mecai/proto/signer';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import type { SignerService } from './service.ts';
import { type Stream, issuing } from './testing/issuing.ts';
import { clientOf, serveWorld } from './testing/serve.ts';
import { createWorld, observe, subjectOf } from './testing/world.ts';

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});
function connect({ port }: SignerService) {
  const client = clientOf(port);
  stops.push(() => client.close());
  return client;
}

it('answers what it was asked, ends the stream well, and takes nothing more', async () => {
  const written = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const world = createWorld({
    audit: async (record) => {
      arrived.resolve();
      await written.promise;
      return world.records.push(record);
    },
  });
  const service = await serveWorld(world);
  const one = issuing(connect(service));
  const answer = one.whole(1);
  await arrived.promise;
  const closed = service.close();
  await new Promise(setImmediate);
  one.stream.write({ id: 9, step: { $case: 'draw', draw: { subject: subjectOf() } } });
  written.resolve();
  expect((await answer).$case).toBe('issued');
  expect(await one.ended).toBeUndefined();
  await closed;
  expect(one.answers.has(9)).toBe(false);
  const late = issuing(connect(service));
  late.stream.write({ id: 1, step: undefined });
  expect((await late.ended)?.code).toBe(status.UNAVAILABLE);
});

it('does not wait long for a coordinator that never goes', async () => {
  const service = await serveWorld(createWorld());
  const stream: Stream = connect(service).issue();
  stream.on('error', () => undefined);
  stream.write({ id: 1, step: undefined });
  await once(stream, 'data');
  const began = performance.now();
  await service.close();
  expect(performance.now() - began).toBeLessThan(5_000);
});

it('about to stop gives no draw any more, and takes the evidence for those it gave', async () => {
  const world = createWorld();
  const service = await serveWorld(world);
  const one = issuing(connect(service));
  const before = await one.draw(1);
  service.drain();
  expect(await one.draw(2)).toMatchObject({
    $case: 'refused',
    refused: { code: RefusalCode.REFUSAL_CODE_STOPPING },
  });
  if (before.$case !== 'drawn') throw new Error(before.$case);
  const { nonce, agents } = before.drawn;
  const observations = agents.slice(0, 4).map((agent) => observe(agent, before.drawn));
  one.stream.write({ id: 3, step: { $case: 'evidence', evidence: { nonce, observations } } });
  expect((await one.answer(3)).$case).toBe('issued');
  expect(world.parts.draws.size).toBe(0);
  await service.close();
});
