import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Observation,
  SignedObservation,
  ensureStreams,
  inboxPrefix,
  natsPermissions,
  streams,
} from '@mecai/proto';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../../test/src/parts/nats-server.ts';

const roles = {
  oslo: natsPermissions.agent('oslo'),
  lima: natsPermissions.agent('lima'),
  va1: natsPermissions.coordinator('va1'),
  campaigns: natsPermissions.campaigns('campaigns'),
  operator: natsPermissions.operator,
  /** Says what the servers of a cluster say. */
  cluster: { publish: ['$JS.EVENT.ADVISORY.>'], subscribe: [] },
};
type Role = keyof typeof roles;
const roleNames = [
  'oslo',
  'lima',
  'va1',
  'campaigns',
  'operator',
  'cluster',
] as const satisfies readonly Role[];

export interface TestNats {
  readonly server: NatsServer;
  readonly jsm: JetStreamManager;
  readonly directory: string;
  as(role: Role): Promise<NatsConnection>;
  /** File with the nkey seed. */
  seedFile(role: Role): string;
  /** All observations in the stream. */
  stored(): Promise<Observation[]>;
  close(): Promise<void>;
}

/** A nats-server with two agents, a coordinator and an operator, each with its own rights. */
export async function startTestNats(): Promise<TestNats> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-agent-'));
  const keys = {
    oslo: nkeys.createUser(),
    lima: nkeys.createUser(),
    va1: nkeys.createUser(),
    campaigns: nkeys.createUser(),
    operator: nkeys.createUser(),
    cluster: nkeys.createUser(),
  };
  const server = await startNatsServer({
    directory: join(directory, 'nats'),
    users: roleNames.map((name) => ({ name, publicNkey: keys[name].getPublicKey(), ...roles[name] })),
  });
  const open: NatsConnection[] = [];
  const as = async (role: Role) => {
    const connection = await connect({
      servers: server.url,
      authenticator: nkeyAuthenticator(keys[role].getSeed()),
      inboxPrefix: inboxPrefix(role),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
    });
    open.push(connection);
    return connection;
  };
  const jsm = await jetstreamManager(await as('operator'));
  await ensureStreams(jsm);
  return {
    server,
    jsm,
    directory,
    as,
    seedFile(role) {
      const file = join(directory, `${role}.nk`);
      writeFileSync(file, keys[role].getSeed(), { mode: 0o600 });
      return file;
    },
    async stored() {
      // The other connection may not have noticed yet that the server is back.
      const fresh = await jetstreamManager(await as('operator'));
      const { state } = await fresh.streams.info(streams.observations.name);
      const found: Observation[] = [];
      for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; seq++) {
        const message = await fresh.streams.getMessage(streams.observations.name, { seq });
        if (message) found.push(Observation.decode(SignedObservation.decode(message.data).observation));
      }
      return found;
    },
    async close() {
      for (const connection of open) await connection.close();
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
