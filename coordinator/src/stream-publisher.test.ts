import { randomUUID } from 'node:crypto';
import { ensureStreams, subjects } from '@mecai/proto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { StreamPublisher } from './stream-publisher.ts';
import { type TestNats, coordinatorName, startTestNats } from './testing/nats.ts';

let nats: TestNats;
let publisher: StreamPublisher;
beforeAll(async () => {
  nats = await startTestNats();
  publisher = new StreamPublisher(await nats.as(coordinatorName), coordinatorName);
});
afterAll(() => nats.close());
beforeEach(async () => {
  await ensureStreams(nats.jsm);
  await nats.jsm.streams.purge('RECORDS');
});

const subject = subjects.decision(coordinatorName);
const patienceMs = 20_000;
const publish = (text: string, id: string = randomUUID(), to = subject) =>
  publisher.publish(to, Buffer.from(text), id, patienceMs);
const texts = async () => (await nats.stored('RECORDS')).map((bytes) => Buffer.from(bytes).toString());

it('resolves once each is stored, however many are under way', async () => {
  const many = Array.from({ length: 100 }, (_, i) => String(i));
  await Promise.all(many.map((text) => publish(text)));
  expect(new Set(await texts())).toEqual(new Set(many));
});

it('what is published twice under one ID is stored once', async () => {
  const id = randomUUID();
  const [first, second] = await Promise.all([publish('twice', id), publish('twice', id)]);
  expect(first.seq).toBe(second.seq);
  expect(first.duplicate).not.toBe(second.duplicate);
  expect((await texts()).filter((text) => text === 'twice')).toHaveLength(1);
});

it('a refusal of the stream is its error', async () => {
  const info = await nats.jsm.streams.info('RECORDS');
  await nats.jsm.streams.update('RECORDS', { ...info.config, max_msg_size: 4 });
  await expect(publish('too long')).rejects.toThrow(/message size exceeds/);
  await nats.jsm.streams.update('RECORDS', info.config);
  await publish('not too long');
});

it('without a stream for the subject it says so at once', async () => {
  await nats.jsm.streams.delete('RECORDS');
  await expect(publish('nowhere')).rejects.toThrow('no stream takes it');
});

it('what is not acknowledged in time is not known to be stored', async () => {
  nats.server.pause();
  await expect(publisher.publish(subject, Buffer.from('late'), randomUUID(), 50)).rejects.toThrow(
    'no acknowledgement within 50 ms',
  );
  nats.server.resume();
});
