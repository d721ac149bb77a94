import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parsePrefix } from '@mecai/addresses';
import { loadObservationKey } from '@mecai/corroboration';
import { AgentStatus, leaderElected, streams, subjects } from '@mecai/proto';
import {
  type Running,
  Settings,
  type Start,
  Telemetry,
  readText,
  splitHostPort,
  startAdminServer,
  untilItWorks,
} from '@mecai/runtime';
import { probe } from '@mecai/tls-probe';
import type { Subscription } from '@nats-io/transport-node';
import { type AgentConfig, agentConfig, changeable } from './config.ts';
import { AgentError } from './error.ts';
import { checkLocation } from './location-check.ts';
import { Measures } from './measures.ts';
import { type NatsLink, openNatsLink } from './nats-link.ts';
import { type Answer, Observer, type ProbeRules } from './observe.ts';
import { Outbox } from './outbox.ts';
import { RoundTrips } from './round-trips.ts';

const statusEveryMs = 2_000;
const drainWithinMs = 5_000;
/** From the word that it stops until it takes no more tasks: what the word needs to get around. */
const leaveMs = 250;

interface Link extends Pick<NatsLink, 'close'> {
  readonly outbox: Outbox;
  readonly tasks: readonly Subscription[];
  readonly beats: readonly NodeJS.Timeout[];
  /** Tells that no task is taken any more, in a moment. */
  readonly leave: () => void;
}

/** Puts the agent together. NATS may be absent at the start, come, go and come back. */
export async function startAgent({ log, fail, ...start }: Start): Promise<Running> {
  const settings = Settings.load(agentConfig, { log, ...start }, changeable);
  const config = settings.current;
  const check = await checkLocation(config);
  if (check.result === 'contradicts') {
    log.warn({ contradictions: check.contradictions }, 'GeoIP contradicts the declared location');
    if (config.geoip?.onContradiction === 'refuse') {
      throw new AgentError('location-contradicted', check.contradictions.join('; '));
    }
  }
  const telemetry = new Telemetry('probe-agent', config.name, config.telemetry);
  const measures = new Measures(telemetry, config.name, Date.now, log);
  const key = loadObservationKey(readText(config.keyFile));
  const observer = new Observer({
    name: config.name,
    key,
    prober: probe,
    rules: rulesOf(config),
    now: Date.now,
  });
  settings.onReload((next) => {
    const rules = rulesOf(next);
    return () => {
      observer.rules = rules;
    };
  });

  const ending = new AbortController();
  const { signal } = ending;
  const failUnlessEnding = (error: unknown) => {
    if (!signal.aborted) fail(error);
  };
  let link: Link | undefined;
  let connected = false;
  let stopping = false;
  const connecting = untilItWorks('NATS', () => openNatsLink(config, log), { log, signal }).then((opened) => {
    link = serve(opened);
    connected = true;
    log.info({ server: opened.nats.getServer() }, 'NATS reached');
    return undefined;
  }, failUnlessEnding);

  function serve({ nats, beat, goBack, close }: NatsLink): Link {
    const outbox = new Outbox(nats, config.name, log, {
      capacity: config.outbox,
      keepStored: config.nats.keepStored,
    });
    nats.subscribe(leaderElected(streams.observations.name), {
      callback: (error) => void (!error && outbox.offerStored()),
    });
    const listen = (subject: string, campaign: boolean) =>
      nats.subscribe(subject, {
        callback: (error, message) => {
          if (error) failUnlessEnding(error);
          else {
            const traceparent = message.headers?.get('traceparent');
            const repeat = outbox.send.bind(outbox);
            for (const answer of observer.answer(message.data, { campaign, repeat })) {
              void post(answer, traceparent);
            }
          }
        },
      });
    const tasks = [
      listen(subjects.task(config.name), false),
      listen(subjects.campaignTask(config.name), true),
    ];
    async function post(answer: Promise<Answer>, traceparent: string | undefined): Promise<void> {
      outbox.send(await measures.follow(answer, traceparent));
    }
    const { everyMs } = config.roundTrips;
    const { returnEveryMs } = config.nats;
    const roundTrips = new RoundTrips({
      nats,
      name: config.name,
      key,
      now: () => performance.now(),
      randomBytes,
    });
    const askOthers = () => connected && roundTrips.ask();
    const sayAlive = (stopping = false) => {
      if (!connected || nats.isClosed()) return;
      const alive: AgentStatus = {
        sentAt: Date.now(),
        probesInFlight: observer.inFlight,
        unconfirmed: outbox.unconfirmed,
        locationCheck: check.result,
        contradictions: [...check.contradictions],
        roundTrip: roundTrips.next(),
        stopping,
      };
      beat(subjects.agentStatus(config.name), AgentStatus.encode(alive).finish());
    };
    async function watch(): Promise<void> {
      for await (const status of nats.status()) {
        if (status.type === 'disconnect') {
          connected = false;
          log.warn({ server: status.server }, 'NATS lost');
        } else if (status.type === 'reconnect') {
          connected = true;
          log.info({ server: status.server, unconfirmed: outbox.unconfirmed }, 'NATS reached again');
          sayAlive();
          outbox.offerAgain();
          outbox.offerStored();
        } else if (status.type === 'error') {
          log.error({ reason: status.error.message }, 'NATS');
        }
      }
    }
    void watch();
    nats.closed().then((error) => failUnlessEnding(error ?? new Error('NATS closed the connection')), fail);
    connected = true;
    sayAlive();
    const beats = [setInterval(() => sayAlive(stopping), statusEveryMs)];
    if (everyMs > 0) beats.push(setInterval(askOthers, everyMs));
    if (returnEveryMs > 0) {
      // Those of a region do not all go back at once.
      const everyMs = returnEveryMs * (0.9 + Math.random() / 5);
      beats.push(setInterval(() => connected && void goBack(), everyMs));
    }
    return { close, outbox, tasks, beats, leave: () => sayAlive(true) };
  }

  telemetry.gauge('probes.in.flight', 'Probes under way.', () => observer.inFlight);
  telemetry.gauge(
    'observations.unconfirmed',
    'Observations that JetStream has not confirmed.',
    () => link?.outbox.unconfirmed,
  );
  telemetry.gauge('observations.dropped', 'Observations lost since the start.', () => link?.outbox.dropped);
  telemetry.gauge('location.contradicted', 'Whether GeoIP contradicts the declared location.', () =>
    check.result === 'contradicts' ? 1 : 0,
  );
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [...(stopping ? ['stopping'] : []), ...(connected ? [] : ['NATS'])],
    status: () => ({
      name: config.name,
      location: config.location,
      locationCheck: check,
      probesInFlight: observer.inFlight,
      unconfirmed: link?.outbox.unconfirmed,
      dropped: link?.outbox.dropped,
    }),
  });
  return {
    ready: { admin: admin.url },
    reload: () => settings.reload(),
    async stop() {
      stopping = true;
      ending.abort(new Error('stopping'));
      await connecting;
      if (link) {
        // Whoever has not heard yet may still ask.
        link.leave();
        await delay(leaveMs);
        // No new tasks; what has been accepted is answered, and confirmed.
        for (const tasks of link.tasks) tasks.unsubscribe();
        await observer.idle();
        await link.outbox.drain(drainWithinMs);
        for (const beat of link.beats) clearInterval(beat);
        await link.close();
      }
      await admin.close();
      await telemetry.stop();
    },
  };
}

const rulesOf = ({ allowedTargets, probe: { bindIpv4, bindIpv6, ...limits } }: AgentConfig): ProbeRules => ({
  allowedTargets: allowedTargets.map(parsePrefix),
  bindIpv4,
  bindIpv6,
  stopEarly: limits.stopEarly,
  maxInFlight: limits.inFlight,
  campaigns: { inFlight: limits.campaignInFlight, perSecond: limits.campaignPerSecond },
});
