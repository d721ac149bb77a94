/** What coordinators see of the nodes of NATS, in a cluster as the templates make it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StreamReplicas } from '@mecai/coordinator/stream-replicas';
import { ensureStreams, inboxPrefix, natsPermissions } from '@mecai/proto';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Workshop, pem } from '../network/index.ts';
import { type Fabric, openFabric } from './fabric.ts';
import { type NatsLayout, startNats } from './nats.ts';

const name = 'va1';
const patience = { timeout: 120_000, interval: 500 };
let directory: string;
let fabric: Fabric;
let nats: NatsLayout;
let connection: NatsConnection;
let manager: JetStreamManager;
let replicas: StreamReplicas;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mecai-replicas-'));
  fabric = openFabric();
  const workshop = new Workshop(directory, ['logs', 'nats']);
  const seed = workshop.natsUser(name, natsPermissions.coordinator(name));
  nats = await startNats(workshop, fabric, new Map());
  connection = await connect({
    servers: [...nats.servers],
    tls: { ca: pem(workshop.internalCa) },
    authenticator: nkeyAuthenticator(readFileSync(seed)),
    inboxPrefix: inboxPrefix(name),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  manager = await jetstreamManager(connection, { checkAPI: false });
  await vi.waitFor(() => ensureStreams(manager, { limits: { replicas: 3 } }), patience);
}, 180_000);
afterAll(async () => {
  replicas.close();
  await connection.close();
  for (const node of nats.nodes) await node.stop();
  fabric.close();
  rmSync(directory, { recursive: true, force: true });
});

const seen = () => Object.fromEntries(replicas.behind);
const all = (nodes: number) => ({ OBSERVATIONS: nodes, RECORDS: nodes });

it('a node that is gone is behind, until it is back; of a stream that is not there nothing is said', {
  timeout: 400_000,
}, async () => {
  replicas = new StreamReplicas(manager, ['OBSERVATIONS', 'RECORDS', 'ABSENT'], 200);
  await expect.poll(seen, patience).toEqual(all(0));
  await nats.nodes[1]!.kill();
  await expect.poll(seen, patience).toEqual(all(1));
  await nats.nodes[1]!.start();
  await expect.poll(seen, patience).toEqual(all(0));
});
