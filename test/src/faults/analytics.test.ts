import { readFileSync } from 'node:fs';
import { inboxPrefix, streams } from '@mecai/proto';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Load } from './load.ts';
import { type Stage, eventually, setStage } from './stage.ts';

let stage: Stage;
let nats: NatsConnection;
let jsm: JetStreamManager;

beforeAll(async () => {
  stage = await setStage({ analytics: true });
  const { files, nats: server } = stage.network;
  nats = await connect({
    servers: server.url,
    authenticator: nkeyAuthenticator(readFileSync(files.operatorSeed)),
    inboxPrefix: inboxPrefix('operator'),
  });
  jsm = await jetstreamManager(nats);
});
afterAll(async () => {
  await nats.close();
  await stage.close();
});

/** Observations that analytics has not stored yet. */
const waiting = async () => (await jsm.streams.info(streams.observations.name)).state.messages;

it('analytics killed: issuance does not notice, and what was observed meanwhile is kept for it', async () => {
  const analytics = stage.network.analytics!;
  const load = new Load(stage.network.vrpUrl, stage.request, stage.ca);
  await load.issued(10);
  await analytics.signal('SIGKILL');
  const from = load.endings.length;
  await load.issued(20);
  await load.stop();
  expect(load.endings.slice(from).filter(({ status }) => status !== 'issued')).toEqual([]);
  // Six of each voucher; stragglers of the last ones may be on their way.
  expect(await waiting()).toBeGreaterThan(20 * 4);

  await analytics.restart();
  // What it had taken but not stored is handed out again after 30 s, its `redeliverMs`.
  await eventually('everything is stored', async () => (await waiting()) === 0, 45_000);
}, 90_000);

it('analytics stopped: issuance is as fast as with it', async () => {
  const analytics = stage.network.analytics!;
  const load = new Load(stage.network.vrpUrl, stage.request, stage.ca);
  const timed = async () => {
    const began = performance.now();
    await load.issued(30, 60_000);
    return performance.now() - began;
  };
  await load.issued(10);
  const withIt = await timed();
  await analytics.signal('SIGSTOP');
  const from = load.endings.length;
  const without = await timed();
  await load.stop();
  expect(load.endings.slice(from).filter(({ status }) => status !== 'issued')).toEqual([]);
  // Times on a busy machine vary; waiting for analytics would be for ever.
  expect(without).toBeLessThan(3 * withIt + 2000);
  await analytics.signal('SIGCONT');
  await eventually('everything is stored', async () => (await waiting()) === 0, 60_000);
}, 120_000);
