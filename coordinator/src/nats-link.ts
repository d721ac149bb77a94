import { jetstreamManager } from '@nats-io/jetstream';
import { ensureStreams, inboxPrefix, leaderElected, streams as bus } from '@mecai/proto';
import { type Logger, natsPatience, readText, reasonOf } from '@mecai/runtime';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import type { CoordinatorConfig } from './config.ts';
import { StreamReplicas } from './stream-replicas.ts';

const drainWithinMs = 2_000;

export interface NatsLink {
  readonly nats: NatsConnection;
  readonly replicas: StreamReplicas;
  /** Calls whenever the stream of records has another leader, or may have had one. */
  onLeader(call: () => void): void;
  /** Flushes what is pending and closes; just closes when NATS is away. */
  close(): Promise<void>;
}

/**
 * Connects for good: from here on the client reconnects by itself, and streams that a server has lost are made
 * anew.
 *
 * @param connected called with every change
 * @throws what connect and ensureStreams throw
 */
export async function openNatsLink(
  {
    name,
    nats: { servers, seedFile, ca, silentMs, streamReplicas },
  }: Pick<CoordinatorConfig, 'name' | 'nats'>,
  log: Logger,
  connected: (yes: boolean) => void,
): Promise<NatsLink> {
  const nats = await connect({
    servers: [...servers],
    authenticator: nkeyAuthenticator(new TextEncoder().encode(readText(seedFile))),
    ...(ca !== undefined && { tls: { caFile: ca } }),
    name,
    inboxPrefix: inboxPrefix(name),
    ...natsPatience(silentMs),
  });
  const manager = await jetstreamManager(nats, { checkAPI: false });
  const streams = async () => {
    const shortfalls = await ensureStreams(manager, {
      limits: { replicas: streamReplicas },
    });
    if (shortfalls.length > 0) log.warn({ shortfalls }, 'streams have less than is configured');
  };
  try {
    await streams();
  } catch (error) {
    await nats.close();
    throw error;
  }
  const leaderCalls: (() => void)[] = [];
  const newLeader = () => {
    for (const call of leaderCalls) call();
  };
  nats.subscribe(leaderElected(bus.records.name), { callback: (error) => void (!error && newLeader()) });
  void watch();
  const replicas = new StreamReplicas(manager, [bus.observations.name, bus.records.name]);
  return { nats, replicas, onLeader: (call) => void leaderCalls.push(call), close };

  async function watch(): Promise<void> {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect') {
        connected(false);
        log.warn({ server: status.server }, 'NATS lost');
      } else if (status.type === 'reconnect') {
        log.info({ server: status.server }, 'NATS reached again');
        connected(true);
        newLeader();
        streams().catch((error: unknown) => log.error({ reason: reasonOf(error) }, 'streams not checked'));
      } else if (status.type === 'error') {
        log.error({ reason: status.error.message }, 'NATS');
      }
    }
  }

  async function close(): Promise<void> {
    replicas.close();
    const timer = setTimeout(() => void nats.close(), drainWithinMs);
    try {
      await nats.drain();
    } catch {
      // Away, or away in the middle of it.
      await nats.close();
    } finally {
      clearTimeout(timer);
    }
  }
}
