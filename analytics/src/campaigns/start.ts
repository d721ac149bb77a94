import { setTimeout as delay } from 'node:timers/promises';
import { Task, inboxPrefix, subjects } from '@mecai/proto';
import {
  type Running,
  Settings,
  type Start,
  Telemetry,
  natsPatience,
  readText,
  reasonOf,
  splitHostPort,
  startAdminServer,
  untilItWorks,
} from '@mecai/runtime';
import { type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { campaignsConfig, changeable } from './config.ts';
import { ordersOf } from './orders.ts';
import { CampaignRunner } from './runner.ts';

const tickMs = 100;
const refreshMs = 2000;
/** For the last tasks to leave. */
const flushMs = 3000;
/** Agents say every two seconds that they live. */
const aliveMs = 10_000;

export interface CampaignsStart extends Start {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (octets: number) => Uint8Array;
}

/** The process that runs campaigns. NATS and analytics may be absent, at the start or later. */
export async function startCampaigns({
  log,
  fail,
  now,
  randomBytes,
  ...start
}: CampaignsStart): Promise<Running> {
  const settings = Settings.load(campaignsConfig, { log, ...start }, changeable);
  const config = settings.current;
  const { name } = config;
  const seed = new TextEncoder().encode(readText(config.nats.seedFile));
  const heard = new Map<string, number>();
  const ending = new AbortController();
  const { signal } = ending;
  let nats: NatsConnection | undefined;
  let connected = false;
  let sent = 0;
  let analytics = false;
  /** How long ago, or how far ahead where the clock was put back since. */
  const away = (at: number) => Math.abs(now() - at);
  const alive = () =>
    [...heard]
      .filter(([, at]) => away(at) < aliveMs)
      .map(([agent]) => agent)
      .sort();
  const runner = new CampaignRunner({
    name,
    orders: ordersOf(config.analytics.url, readText(config.analytics.tokenFile)),
    send: (agent, task) => {
      nats!.publish(subjects.campaignTask(agent), Task.encode(task).finish());
      sent++;
    },
    alive,
    get maxPerMinute() {
      return settings.current.maxPerMinute;
    },
    get timeoutMs() {
      return settings.current.timeoutMs;
    },
    now,
    randomBytes,
  });

  const connecting = untilItWorks(
    'NATS',
    () =>
      connect({
        servers: [...config.nats.servers],
        ...(config.nats.ca !== undefined && { tls: { caFile: config.nats.ca } }),
        name,
        authenticator: nkeyAuthenticator(seed),
        inboxPrefix: inboxPrefix(name),
        ...natsPatience(config.nats.silentMs),
        // A key may be known a moment later.
        ignoreAuthErrorAbort: true,
      }),
    { log, signal },
  ).then(
    (connection) => {
      nats = connection;
      connected = true;
      void watch(connection);
      connection.subscribe(subjects.agentStatus('*'), {
        callback: (error, message) => {
          if (!error) heard.set(message.subject.split('.')[2]!, now());
        },
      });
      return undefined;
    },
    (error: unknown) => {
      if (!signal.aborted) fail(error);
    },
  );

  async function watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect') {
        connected = false;
        // Agents come back each in its time: nobody is asked before it is heard again.
        heard.clear();
        log.warn({}, 'NATS lost');
      } else if (type === 'reconnect') {
        connected = true;
        log.info({}, 'NATS reached again');
      }
    }
  }

  const work = (async () => {
    await connecting;
    for (let refreshedAt = 0; !signal.aborted; ) {
      try {
        if (away(refreshedAt) >= refreshMs) {
          refreshedAt = now();
          await runner.refresh();
          analytics = true;
        }
        if (connected) await runner.tick();
      } catch (error) {
        if (analytics) log.warn({ reason: reasonOf(error) }, 'analytics does not answer');
        analytics = false;
      }
      await delay(tickMs);
    }
  })();

  const telemetry = new Telemetry('campaigns', name, config.telemetry);
  telemetry.gauge('campaigns.running', 'Campaigns under way.', () => runner.running);
  telemetry.gauge('campaigns.sent', 'Tasks sent since the start.', () => sent);
  telemetry.gauge('campaigns.agents', 'Agents that can be asked.', () => alive().length);
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...(signal.aborted ? ['stopping'] : []),
      ...(connected ? [] : ['NATS']),
      ...(analytics ? [] : ['analytics']),
    ],
    status: () => ({ name, running: runner.running, sent, agents: alive().length }),
  });
  return {
    ready: { admin: admin.url },
    reload: () => settings.reload(),
    async stop() {
      ending.abort(new Error('stopping'));
      await connecting;
      await work;
      await runner
        .refresh()
        .catch((error: unknown) => log.warn({ reason: reasonOf(error) }, 'progress not told'));
      // It fails when the connection is lost meanwhile.
      const flushed = connected && nats!.flush().catch(() => undefined);
      await Promise.race([flushed, delay(flushMs, undefined, { ref: false })]);
      await nats?.close();
      await admin.close();
      await telemetry.stop();
    },
  };
}
