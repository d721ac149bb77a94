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
  stage = await setStage({ analytics: { redeliverMs: 2000, batch: { rows: 500, ms: 50 } } });
  const { files, nats: server } = stage.network;
  nats = await connect({
    servers: server.url,
    authenticator: nkeyAuthenticator(readFileSync(files.operatorSeed)),
    inboxPrefix: inboxPrefix('operator'),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  jsm = await jetstreamManager(nats);
}, 120_000);
afterAll(async () => {
  await nats.close();
  await stage.close();
});

/** Everything confirmed by JetStream, handed on, stored and acknowledged. */
async function settled(): Promise<void> {
  const { agents, coordinator } = stage.network;
  await eventually(
    'all confirmed and stored',
    async () => {
      const parts = await Promise.all(
        [...agents.values()].map(({ ready }) => stage.status(ready['admin']!).catch(() => undefined)),
      );
      const { recordsUnconfirmed, listening } = await stage.status(coordinator.ready['admin']!);
      const { messages } = (await jsm.streams.info(streams.observations.name)).state;
      return (
        parts.every((one) => one?.['unconfirmed'] === 0 && one['probesInFlight'] === 0) &&
        recordsUnconfirmed === 0 &&
        listening === 0 &&
        messages === 0
      );
    },
    60_000,
  );
}

interface Counts {
  readonly observations: number;
  readonly decisions: number;
  readonly rates: number;
}

const counts = async (): Promise<Counts> =>
  (await (await fetch(`${stage.network.analytics!.ready['admin']!}/counts`)).json()) as Counts;

it('counts are exact though each process in the path is killed in turn', { timeout: 240_000 }, async () => {
  const { network } = stage;
  const load = new Load(network.vrpUrl, stage.request, stage.ca);
  const kills: readonly (readonly [string, () => Promise<void>])[] = [
    ['analytics', () => network.analytics!.signal('SIGKILL').then(() => network.analytics!.restart())],
    [
      'nats-server',
      async () => {
        network.nats.kill();
        await network.nats.restart();
      },
    ],
    [
      'an agent',
      async () => {
        const agent = network.agents.get('sydney')!;
        await agent.signal('SIGKILL');
        await agent.restart();
      },
    ],
    [
      'the coordinator',
      () => network.coordinator.signal('SIGKILL').then(() => network.coordinator.restart()),
    ],
    [
      'the signer, and analytics once more',
      async () => {
        await Promise.all([network.signer, network.analytics!].map((one) => one.signal('SIGKILL')));
        await Promise.all([network.signer, network.analytics!].map((one) => one.restart()));
      },
    ],
  ];
  for (const [, kill] of kills) {
    await load.issued(5, 60_000);
    await kill();
  }
  await load.issued(5, 60_000);
  await load.stop();
  await settled();

  // The stream counts what it ever stored: each observation once, by its message id.
  const { state } = await jsm.streams.info(streams.observations.name);
  await eventually(
    'all records stored',
    async () => {
      const info = await jsm.consumers.info(streams.records.name, 'analytics-1');
      return info.num_pending === 0 && info.num_ack_pending === 0;
    },
    60_000,
  );
  const { subjects } = (await jsm.streams.info(streams.records.name, { subjects_filter: 'mecai.decision.>' }))
    .state;
  const decisions = Object.values(subjects ?? {}).reduce((sum, one) => sum + one, 0);
  const found = await counts();
  expect(found).toMatchObject({ observations: state.last_seq, decisions });
  expect(found.observations).toBeGreaterThan(30 * 5);
  expect(found.rates).toBe(found.observations);
});
