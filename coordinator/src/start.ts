import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { parsePrefix } from '@mecai/addresses';
import { subjects } from '@mecai/proto';
import { WatchRegistryResponse } from '@mecai/proto/signer';
import {
  type Running,
  RuntimeError,
  Settings,
  type Start,
  Telemetry,
  readText,
  splitHostPort,
  startAdminServer,
} from '@mecai/runtime';
import { type CoordinatorConfig, changeable, coordinatorConfig } from './config.ts';
import { type Decided, type Question, decide } from './decide.ts';
import { dnsClient } from './dns/dns-client.ts';
import { Directories } from './directories.ts';
import { Enrolments } from './enrolment/enrolments.ts';
import { enrolmentRoutes } from './enrolment/routes.ts';
import { type Route, serveRoutes } from './http-routes.ts';
import { startVrpServer } from './http-server.ts';
import { startCertificateLog } from './log/start.ts';
import { coordinatorMeasures } from './measures.ts';
import { Messaging } from './messaging.ts';
import { coordinatorMigrations } from './migrations.ts';
import { sharedNonceKey } from './nonce-key.ts';
import { startNotices } from './notice/start.ts';
import { Nonces } from './nonces.ts';
import { startOperatorServer } from './operator-server.ts';
import { Places } from './places.ts';
import { RateLimiter } from './rate-limits.ts';
import { Renewals } from './renewals.ts';
import { Reports } from './reports/reports.ts';
import { revocationSource } from './revocation.ts';
import { SignerLinks } from './signer-links.ts';
import { Signers } from './signers.ts';
import { Store } from './store.ts';
import { gauges, missingParts, statusOf } from './telling.ts';
import { VrpHandler } from './vrp-handler.ts';

/** How late a voucher may learn of a CRL that has been renewed; looking costs a tenth of a voucher. */
const maxLookAgainMs = 1_000;
const drainWithinMs = 5_000;
/** How often sinks hear who is a perspective. */
const tellRegistryMs = 5_000;

/**
 * Puts the coordinator together. It serves at once, and answers `inconclusive` with a time to retry until NATS
 * and signer have been reached; both may come, go and come back.
 */
export async function startCoordinator({ log, fail, ...start }: Start): Promise<Running> {
  const now = Date.now;
  const settings = Settings.load(coordinatorConfig, { log, ...start }, changeable);
  const config = settings.current;
  const registry = readText(config.registry);
  const telemetry = new Telemetry('coordinator', config.name, config.telemetry);
  const measures = coordinatorMeasures(telemetry);
  const allowedTargets = config.allowedTargets.map(parsePrefix);
  const ending = new AbortController();
  const { signal } = ending;
  const failUnlessEnding = (error: unknown) => {
    if (!signal.aborted) fail(error);
  };

  const places = new Places(() => signerLinks.registry, now);
  const messaging = new Messaging({
    config,
    log,
    now,
    signal,
    onStatus: (agent, status) => places.hear(agent, status),
    fail: failUnlessEnding,
  });
  const nonceKey = randomBytes(32);
  const nonces = new Nonces(nonceKey);
  const notices =
    config.notice &&
    startNotices({
      config: config.notice,
      approval: config.approval,
      publicUrl: config.publicUrl!,
      allowedTargets,
      dns: dnsClient(config.dns),
      telemetry,
      log,
      now,
      random: Math.random,
    });
  const store = new Store(
    {
      config: config.database,
      migrations: coordinatorMigrations,
      log,
      now,
      random: Math.random,
      fail,
    },
    async (database) => {
      nonces.use(await sharedNonceKey(database, nonceKey));
      notices?.opened(database);
    },
  );
  // Where it listens is known once it does.
  const publicUrl = () => config.publicUrl?.replace(/\/$/, '') ?? new URL(server.url).origin;
  const certificateLog = startCertificateLog({
    config: config.certificateLog,
    store,
    dns: dnsClient(config.dns),
    publicUrl,
    newId: () => randomBytes(16).toString('hex'),
    notices: notices !== undefined,
    telemetry,
    log,
    now,
    fail: failUnlessEnding,
  });
  const renewals = new Renewals(config.renewal);
  const directories = new Directories((version) => signers.directory(version), now);
  const { deadlineMs, refreshEveryMs } = config.revocation;
  const signerLinks = new SignerLinks(config.signers, refreshEveryMs, {
    registry,
    revocation: {
      source: revocationSource(config.revocation, allowedTargets),
      deadlineMs,
      lookAgainMs: Math.min(maxLookAgainMs, refreshEveryMs),
    },
    renewals,
    askEveryMs: config.renewal.askSignerMs,
    store,
    telemetry,
    log,
    now,
    lost: () => directories.forget(),
    fail: failUnlessEnding,
  });
  const signers = new Signers(signerLinks.all);
  const decided = async (question: Question): Promise<Decided> => {
    const { perspectives, records } = messaging.expectReached();
    store.expectThere();
    const { name, probe } = settings.current;
    const { certificates } = certificateLog;
    const parts = { name, signers, distrust: signerLinks, perspectives, records, certificates };
    return decide({ ...parts, probe, telemetry, measures, log, now }, question);
  };
  const reports = new Reports({
    coordinator: config.name,
    publish: (report) => {
      messaging.records?.later({ report });
      return messaging.records !== undefined;
    },
    limiter: new RateLimiter(() => settings.current.limits.reports),
    allowedTargets,
    now,
  });
  const enrolments = new Enrolments({
    database: () => store.database,
    registry: () => signerLinks.registry,
    now,
  });
  const routes: readonly Route[] = [
    renewals.route,
    ...enrolmentRoutes(enrolments, log),
    ...directories.routes,
    ...reports.routes,
    ...certificateLog.routes,
    ...(notices?.routes ?? []),
  ];

  const server = await startVrpServer({
    ...splitHostPort(config.listen),
    tls: httpsIdentity(config),
    handler: new VrpHandler({
      config: {
        get limits() {
          return settings.current.limits;
        },
        get requireKeyProof() {
          return settings.current.requireKeyProof;
        },
      },
      allowedTargets,
      nonces,
      measures,
      log,
      now,
      decide: decided,
    }),
    nonces,
    routes: serveRoutes({
      routes,
      limiter: new RateLimiter(() => settings.current.limits.routes),
      log,
      now,
    }),
    maxInFlight: () => settings.current.limits.inFlight,
    telemetry,
    measures,
    log,
    now,
  });
  const operators =
    config.operators &&
    (await startOperatorServer({
      config: config.operators,
      identities: () => settings.current.operators?.identities ?? [],
      database: () => store.database,
      objections: certificateLog.objections,
      approvals: () => notices?.approvals(),
      agents: {
        enrolments,
        contradictions: () =>
          Array.from(signerLinks.registry.agents.keys(), (agent) => ({
            agent,
            contradictions: places.contradictions(agent),
          })).filter(({ contradictions }) => contradictions.length > 0),
      },
      log,
      now,
    }));
  const told = { messaging, signerLinks, store, server, reports, places };
  gauges(telemetry, told);
  settings.onReload((next) => {
    // Names and addresses of HTTPS certificates stay, what is in the files is renewed every few weeks.
    const https = httpsIdentity(next);
    return () => {
      server.useTls(https);
      certificateLog.use(next.certificateLog);
    };
  });
  // Again and again: who listens begins with a file that may be older.
  const telling = setInterval(() => {
    const { signedRegistry } = signerLinks;
    if (signedRegistry)
      messaging.tell(subjects.registry(config.name), WatchRegistryResponse.encode(signedRegistry).finish());
  }, tellRegistryMs);
  let stopping = false;
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [...(stopping ? ['stopping'] : []), ...missingParts(told)],
    status: () => statusOf(config.name, told),
  });
  return {
    ready: { vrp: server.url, admin: admin.url, ...(operators && { operators: operators.address }) },
    reload: () => settings.reload(),
    async stop() {
      stopping = true;
      clearInterval(telling);
      server.drain();
      const { lameDuckMs, probe } = settings.current;
      await delay(lameDuckMs);
      // Requests end first: they need everything else.
      await operators?.close();
      await server.close(probe.timeoutMs + probe.transitMs + drainWithinMs);
      await messaging.finish(probe.graceMs, drainWithinMs);
      ending.abort(new Error('stopping'));
      await signerLinks.close();
      await messaging.close();
      await certificateLog.stop();
      await notices?.stop(drainWithinMs);
      await store.close();
      await admin.close();
      await telemetry.stop();
    },
  };
}

/** @throws RuntimeError for files that are not there, or do not fit together */
function httpsIdentity({ tls }: Pick<CoordinatorConfig, 'tls'>) {
  const [certificate, key] = [readText(tls.certificate), readText(tls.key)];
  try {
    createSecureContext({ cert: certificate, key });
  } catch (cause) {
    const what = `${tls.certificate} with ${tls.key}: ${(cause as Error).message}`;
    throw new RuntimeError('bad-configuration', what, { cause });
  }
  return { certificate, key };
}
