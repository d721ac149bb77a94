import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureStreams, inboxPrefix, natsPermissions } from '@mecai/proto';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../../test/src/parts/nats-server.ts';
import { names } from './agents.ts';

export const coordinatorName = 'va1';

/** A nats-server with a coordinator, six agents and an operator, each with its own rights. */
export interface TestNats {
  readonly server: NatsServer;
  readonly jsm: JetStreamManager;
  /** Of this test; removed with `close`. */
  readonly directory: string;
  as(name: string): Promise<NatsConnection>;
  /** File with the nkey seed. */
  seedFile(name: string): string;
  /** Payloads in a stream, in order. */
  stored(stream: string, subject?: string): Promise<Uint8Array[]>;
  close(): Promise<void>;
}

export async function startTestNats(): Promise<TestNats> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-coordinator-'));
  const roles = new Map([
    [coordinatorName, natsPermissions.coordinator(coordinatorName)],
    ...names.map((name) => [name, natsPermissions.agent(name)] as const),
    ['operator', natsPermissions.operator],
  ]);
  const keys = new Map([...roles.keys()].map((name) => [name, nkeys.createUser()]));
  const server = await startNatsServer({
    directory: join(directory, 'nats'),
    users: Array.from(roles, ([name, rights]) => ({
      name,
      publicNkey: keys.get(name)!.getPublicKey(),
      ...rights,
    })),
  });
  const open: NatsConnection[] = [];
  const as = async (name: string) => {
    const connection = await connect({
      servers: server.url,
      authenticator: nkeyAuthenticator(keys.get(name)!.getSeed()),
      inboxPrefix: inboxPrefix(name),
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
    seedFile(name) {
      const file = join(directory, `${name}.nk`);
      writeFileSync(file, keys.get(name)!.getSeed(), { mode: 0o600 });
      return file;
    },
    async stored(stream, subject = 'mecai.') {
      const { state } = await jsm.streams.info(stream);
      const found: Uint8Array[] = [];
      for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; seq++) {
        const message = await jsm.streams.getMessage(stream, { seq });
        if (message?.subject.startsWith(subject)) found.push(message.data);
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
