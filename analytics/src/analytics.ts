import { setTimeout as delay } from 'node:timers/promises';
import { inboxPrefix, streams } from '@mecai/proto';
import {
  type Logger,
  type Running,
  type Settings,
  Telemetry,
  natsPatience,
  readText,
  untilItWorks,
} from '@mecai/runtime';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { Agents, registryKeysOf } from './agents.ts';
import type { Arrival } from './arrival.ts';
import { Alerts, webhookSecret } from './alerts.ts';
import { openApi } from './open-api.ts';
import { CertificateCache } from './certificate-cache.ts';
import { CommonColumnsCache } from './common-columns.ts';
import type { AnalyticsConfig } from './config.ts';
import { LiveDetection } from './detection/live.ts';
import { rules } from './detection/rules.ts';
import { lookAgain } from './detection/look-again.ts';
import { Follower, type FollowerStatus } from './follower.ts';
import { Geo } from './geo.ts';
import { ObservationDecoder } from './observation-decoder.ts';
import { PassedOver } from './passed-over.ts';
import { Perspectives } from './perspectives.ts';
import { startHttp } from './http.ts';
import { readObservation } from './read-observation.ts';
import { readRecord } from './read-record.ts';
import { trustIn } from './store-trust.ts';
import { Writer } from './writer.ts';

export interface Context {
  readonly log: Logger;
  readonly fail: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomUUID: () => string;
}

/** How often the registry is looked at, for agents that are gone. */
const registryMs = 5000;
/** How long a stop waits for what is under way to be stored. */
const drainMs = 10_000;

/**
 * Moves observations and records from JetStream into ClickHouse. NATS and the store may be absent, at the start
 * or later: it waits for them, and says so on `/readyz`.
 *
 * @throws RuntimeError when seed, registry, password or CA cannot be read
 */
export async function startAnalytics(
  settings: Settings<AnalyticsConfig>,
  { log, fail, now, randomUUID }: Context,
): Promise<Running> {
  const config = settings.current;
  const { name } = config.nats;
  const seed = new TextEncoder().encode(readText(config.nats.seedFile));
  // Opening the store is tried again and again; what will not heal is told now.
  if (config.store.kind === 'server') {
    if (config.store.passwordFile !== undefined) readText(config.store.passwordFile);
    trustIn(config.store.ca);
  }
  const agents = new Agents(config.registry, log, registryKeysOf(config));
  const certificates = new CertificateCache();
  const stopping = new AbortController();
  const givingUp = new AbortController();
  const writer = new Writer(
    {
      store: config.store,
      retentionDays: config.retentionDays,
      ratesRetentionDays: config.ratesRetentionDays,
      insertMs: config.redeliverMs / 2,
      // Who has lost it knows less than the store: it starts anew.
      lease: { holder: randomUUID(), lost: fail },
    },
    { log, signal: givingUp.signal },
  );
  const geo = await Geo.open(config.geoip);
  const alerts = new Alerts({
    config: config.alerts,
    kinds: () => settings.current.alerts.kinds,
    secret: config.alerts.webhook && webhookSecret(config.alerts.webhook.secretFile),
    store: () => writer.store,
    now,
    log,
  });
  const detection = new LiveDetection({
    rules,
    maxEndpoints: config.detection.maxEndpoints,
    everyMs: config.detection.everySeconds * 1000,
    store: () => writer.store,
    placeOf: (agent) => {
      const found = agents.find(agent);
      return found && { agent, country: found.country, rir: found.rir, asn: found.asn };
    },
    now,
    log,
    changed: (incident) => alerts.tell(incident),
    ...(config.detection.lookAgain && {
      lookAgain: lookAgain({ store: () => writer.store, now, log }),
    }),
  });
  const decoder = new ObservationDecoder();
  const commonColumns = new CommonColumnsCache(geo);
  const { streamReplicas } = config.nats;
  const common = {
    name,
    batch: config.batch,
    redeliverMs: config.redeliverMs,
    replicas: streamReplicas,
    writer,
    log,
    fail,
  };
  const sources = {
    observations: {
      stream: streams.observations.name,
      read: (arrival: Arrival) => {
        const { matchesStored, unverifiedBeyond } = settings.current;
        return readObservation(arrival, {
          decoder,
          agents,
          certificates,
          commonColumns,
          detection,
          matchesStored,
          unverifiedBeyond,
        });
      },
    },
    records: {
      stream: streams.records.name,
      read: (arrival: Arrival) => readRecord(arrival, { agents, certificates }),
    },
  };
  const followers = {
    observations: new Follower({ ...common, ...sources.observations }),
    records: new Follower({ ...common, ...sources.records }),
  };
  const { readAgainMs } = config.nats;
  const passedOver = {
    observations: new PassedOver({ ...common, ...sources.observations, readAgainMs, now }),
    records: new PassedOver({ ...common, ...sources.records, readAgainMs, now }),
  };
  const perspectives = new Perspectives(agents, now);
  let nats: NatsConnection | undefined;
  let manager: JetStreamManager | undefined;

  const telemetry = new Telemetry('analytics', name, config.telemetry);
  measure(telemetry, followers, { now, detection, alerts, passedOver });
  const http = await startHttp(config.admin, {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...(stopping.signal.aborted ? ['stopping'] : []),
      ...(writer.store ? [] : ['store']),
      ...(Object.values(followers).every(({ following }) => following || (writer.held && nats))
        ? []
        : ['nats']),
    ],
    store: () => writer.store,
    status: async () => ({
      now: now(),
      store: writer.store !== undefined,
      streams: {
        observations: {
          ...followers.observations.status,
          ...(await lag(manager, streams.observations.name, name)),
        },
        records: { ...followers.records.status, ...(await lag(manager, streams.records.name, name)) },
      },
      detection: {
        endpoints: detection.endpoints,
        openIncidents: detection.openIncidents,
        alertsPending: alerts.pending,
      },
    }),
  });

  const api = await openApi(settings, { store: () => writer.store, perspectives, now, log });

  const following = (async () => {
    while (!stopping.signal.aborted) {
      const connection = await untilItWorks('nats', () => dial(config.nats, name, seed), {
        log,
        signal: stopping.signal,
      });
      nats = connection;
      perspectives.follow(connection);
      agents.follow(connection);
      const client = jetstream(connection, { timeout: 2000 });
      const owner = await jetstreamManager(connection, { timeout: 2000, checkAPI: false });
      manager = owner;
      const looking = readAgainMs > 0 ? Object.values(passedOver) : [];
      await Promise.all([
        ...Object.values(followers).map((follower) => follower.follow(connection, client, owner)),
        ...looking.map((one) => one.follow(connection, client, owner, stopping.signal)),
      ]);
      // A stop acknowledges on this connection what is still being stored.
      if (!stopping.signal.aborted) await connection.close();
    }
  })().catch((error: unknown) => {
    if (!stopping.signal.aborted) fail(error);
  });
  const refreshing = setInterval(() => agents.refresh(), registryMs);
  detection.start();
  alerts.start();
  const opening = writer.open().then(() => (writer.store ? detection.opened(writer.store) : undefined));
  const opened = opening.catch((error: unknown) => {
    if (!givingUp.signal.aborted) fail(error);
  });

  return {
    ready: { admin: http.url, ...(api && { api: api.url }) },
    reload: () => settings.reload(),
    async stop() {
      stopping.abort();
      clearInterval(refreshing);
      const drained = Promise.all(Object.values(followers).map((follower) => follower.stop()));
      // Without a store there is nothing to wait for: what is not acknowledged comes again.
      if (writer.store) await Promise.race([drained, delay(drainMs, undefined, { ref: false })]);
      await detection.stop().catch((error: unknown) => log.warn({ err: error }, 'incidents not written'));
      await alerts.stop();
      givingUp.abort();
      await Promise.all([drained, opened]);
      // Acknowledgements on their way.
      if (nats && !nats.isClosed())
        await Promise.race([nats.flush(), delay(1000, undefined, { ref: false })]);
      await nats?.close();
      await following;
      await api?.close();
      await http.close();
      await telemetry.stop();
      await writer.close();
    },
  };
}

const dial = ({ servers, ca, silentMs }: AnalyticsConfig['nats'], name: string, seed: Uint8Array) =>
  connect({
    servers: [...servers],
    ...(ca !== undefined && { tls: { caFile: ca } }),
    name,
    authenticator: nkeyAuthenticator(seed),
    inboxPrefix: inboxPrefix(name),
    ...natsPatience(silentMs),
    // A key may be known a moment later.
    ignoreAuthErrorAbort: true,
  });

/** What operators watch; the lag first. */
function measure(
  telemetry: Telemetry,
  followers: Readonly<Record<string, Follower>>,
  {
    now,
    detection,
    alerts,
    passedOver,
  }: {
    now: () => number;
    detection: LiveDetection;
    alerts: Alerts;
    passedOver: Readonly<Record<string, PassedOver>>;
  },
): void {
  const each = (value: (status: FollowerStatus) => number | null) =>
    Object.entries(followers).flatMap(([stream, follower]) => {
      const found = value(follower.status);
      return found === null ? [] : [[found, { stream }] as const];
    });
  telemetry.gauge<'stream'>('analytics.behind', 'Messages that wait to be taken.', () =>
    each(({ behind }) => behind),
  );
  telemetry.gauge<'stream'>('analytics.under.way', 'Messages taken and not stored yet.', () =>
    each(({ underWay }) => underWay),
  );
  telemetry.gauge<'stream'>(
    'analytics.lag.seconds',
    'Age of the oldest message that was taken and is not stored; 0: none waits.',
    () => each(({ oldestAt }) => (oldestAt === null ? 0 : (now() - oldestAt) / 1000)),
  );
  telemetry.gauge<'stream'>('analytics.stored', 'Rows stored since the start.', () =>
    each(({ stored }) => stored),
  );
  telemetry.gauge<'stream'>('analytics.dead.letters', 'Messages put aside since the start.', () =>
    each(({ deadLetters }) => deadLetters),
  );
  telemetry.gauge<'stream'>(
    'analytics.passed.over',
    'Rows stored since the start that the consumer had passed over.',
    () => Object.entries(passedOver).map(([stream, { stored }]) => [stored, { stream }] as const),
  );
  telemetry.gauge('incidents.open', 'Incidents that are open.', () => detection.openIncidents);
  telemetry.gauge('alerts.pending', 'Alerts not accepted yet.', () => alerts.pending);
}

/** Messages to be handed out, and those handed out and not acknowledged; null while NATS is absent. */
async function lag(manager: JetStreamManager | undefined, stream: string, name: string) {
  if (!manager) return { waiting: null, unacknowledged: null };
  try {
    const [consumer, { state }] = await Promise.all([
      manager.consumers.info(stream, name),
      manager.streams.info(stream),
    ]);
    // A killed nats-server (2.9) may count as pending what the stream no longer has.
    const unacknowledged = Math.min(consumer.num_ack_pending, state.messages);
    return { waiting: consumer.num_pending, unacknowledged };
  } catch {
    return { waiting: null, unacknowledged: null };
  }
}
