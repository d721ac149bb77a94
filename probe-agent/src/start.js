import { jetstream } from '@nats-io/jetstream';
import { parsePrefix } from '@mecai/addresses';
import { loadObservationKey } from '@mecai/corroboration';
import { AgentStatus, inboxPrefix, subjects } from '@mecai/proto';
import { loadConfig, readText, splitHostPort, startAdminServer, untilItWorks } from '@mecai/runtime';
import { probe } from '@mecai/tls-probe';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { agentConfig } from './config.js';
import { AgentError } from './error.js';
import { checkLocation } from './location-check.js';
import { Observer } from './observe.js';
import { Outbox } from './outbox.js';
const statusEveryMs = 2_000;
export async function startAgent({ log, config: file, environment, fail }) {
  const config = loadConfig(agentConfig, file, environment);
  const check = await checkLocation(config);
  if (check.result === 'contradicts') {
    log.warn({ contradictions: check.contradictions }, 'GeoIP contradicts the declared location');
    if (config.geoip?.onContradiction === 'refuse') {
      throw new AgentError('location-contradicted', check.contradictions.join('; '));
    }
  }
  const observer = new Observer({
    name: config.name,
    key: loadObservationKey(readText(config.keyFile)),
    prober: probe,
    allowedTargets: config.allowedTargets.map(parsePrefix),
    bindIpv4: config.probe.bindIpv4,
    bindIpv6: config.probe.bindIpv6,
    maxInFlight: config.probe.inFlight,
    now: Date.now,
  });
  const ending = new AbortController();
  let outbox;
  let beat;
  const connected = untilItWorks(
    'NATS',
    () =>
      connect({
        servers: [...config.nats.servers],
        authenticator: nkeyAuthenticator(new TextEncoder().encode(readText(config.nats.seedFile))),
        name: config.name,
        inboxPrefix: inboxPrefix(config.name),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        pingInterval: 5_000,
        maxPingOut: 2,
      }),
    { log, signal: ending.signal },
  );
  connected.then(
    (nats) => {
      const sending = new Outbox(jetstream(nats), config.name, config.outbox, log);
      outbox = sending;
      nats.subscribe(subjects.task(config.name), {
        callback: (error, message) => {
          if (error) return fail(error);
          for (const answer of observer.answer(message.data))
            void answer.then((ready) => sending.send(ready));
        },
      });
      const status = () => {
        if (nats.isClosed()) return;
        const alive = {
          sentAt: Date.now(),
          probesInFlight: observer.inFlight,
          unconfirmed: sending.unconfirmed,
          locationCheck: check.result,
          contradictions: [...check.contradictions],
        };
        nats.publish(subjects.agentStatus(config.name), AgentStatus.encode(alive).finish());
      };
      status();
      beat = setInterval(status, statusEveryMs);
      log.info({ server: nats.getServer() }, 'NATS reached');
      nats.closed().then((error) => {
        if (!ending.signal.aborted) fail(error ?? new Error('NATS closed the connection'));
      }, fail);
    },
    (error) => {
      if (!ending.signal.aborted) fail(error);
    },
  );
  const admin = await startAdminServer(splitHostPort(config.admin), {
    missing: () => (outbox ? [] : ['NATS']),
    status: () => ({
      name: config.name,
      location: config.location,
      locationCheck: check,
      probesInFlight: observer.inFlight,
      unconfirmed: outbox?.unconfirmed,
      dropped: outbox?.dropped,
    }),
  });
  return {
    ready: { admin: admin.url },
    async stop() {
      ending.abort(new Error('stopping'));
      clearInterval(beat);
      const nats = await connected.catch(() => undefined);
      await outbox?.drain(5_000);
      await nats?.drain();
      await admin.close();
    },
  };
}
//# sourceMappingURL=start.js.map
