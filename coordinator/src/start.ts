import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { parsePrefix } from '@mecai/addresses';
import {
  type Running,
  RuntimeError,
  Settings,
  type Start,
  Telemetry,
  readText,
  splitHostPort,
  startAdminServer,
  untilItWorks,
} from '@mecai/runtime';
import { type CoordinatorConfig, changeable, coordinatorConfig } from './config.ts';
import { type Decided, type Question, decide } from './decide.ts';
import { dnsClient } from './dns/dns-client.ts';
import type { Distrust } from './distrust/distrust.ts';
import { Directories } from './directories.ts';
import { Enrolments } from './enrolment/enrolments.ts';
import { enrolmentRoutes } from './enrolment/routes.ts';
import { CoordinatorError } from './error.ts';
import { type Route, serveRoutes } from './http-routes.ts';
import { startVrpServer } from './http-server.ts';
import { startCertificateLog } from './log/start.ts';
import { coordinatorMeasures } from './measures.ts';
import { coordinatorMigrations } from './migrations.ts';
import { type NatsLink, openNatsLink } from './nats-link.ts';
import { sharedNonceKey } from './nonce-key.ts';
import { startNotices } from './notice/start.ts';
import { Nonces } from './nonces.ts';
import { startOperatorServer } from './operator-server.ts';
import { Perspectives } from './perspectives.ts';
import { Places } from './places.ts';
import { RateLimiter } from './rate-limits.ts';
import { Records } from './records.ts';
import { Renewals } from './renewals.ts';
import { Reports } from './reports/reports.ts';
import { revocationSource } from './revocation.ts';
import { SignerLink } from './signer-link.ts';
import { Signers } from './signers.ts';
import { Store } from './store.ts';
import { VrpHandler } from './vrp-handler.ts';

/** How late a voucher may learn of a CRL that has been renewed; looking costs a tenth of a voucher. */
const maxLookAgainMs = 1_000;
const drainWithinMs = 5_000;

/**
 * Puts the coordinator together. It serves at once, and answers `inconclusive` with a time to retry until NATS
 * and signer have been reached; both may come, go and come back.
 */
export async function startCoordinator({ log, fail, ...start }: Start): Promise<Running> {
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

  const places = new Places(() => inForce(), Date.now);
  let link: NatsLink | undefined;
  let natsThere = false;
  let perspectives: Perspectives | undefined;
  let records: Records | undefined;
  const connecting = untilItWorks(
    'NATS',
    () =>
      openNatsLink(config, log, (yes) => {
        natsThere = yes;
        perspectives?.connected(yes);
      }),
    { log, signal },
  ).then((opened) => {
    link = opened;
    natsThere = true;
    perspectives = new Perspectives(opened.nats, config.name, Date.now, failUnlessEnding);
    perspectives.onStatus((agent, status) => places.hear(agent, status));
    const { keepStored } = config.nats;
    const kept = new Records(opened.jetstream, config.name, log, () => natsThere, { keepStored });
    records = kept;
    opened.onLeader(() => void kept.offerAgain());
    log.info({ server: opened.nats.getServer() }, 'NATS reached');
    opened.nats
      .closed()
      .then((error) => failUnlessEnding(error ?? new Error('NATS closed the connection')), fail);
    return undefined;
  }, failUnlessEnding);

  async function decided(question: Question): Promise<Decided> {
    if (!perspectives || !records) {
      throw new CoordinatorError('nats-unavailable', 'NATS has not been reached yet');
    }
    store.expectThere();
    const { name, probe } = settings.current;
    const { certificates } = certificateLog;
    const parts = { name, signers, distrust, perspectives, records, certificates };
    return decide({ ...parts, probe, telemetry, measures, log, now: Date.now }, question);
  }

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
      now: Date.now,
      random: Math.random,
    });
  const store = new Store(
    {
      config: config.database,
      migrations: coordinatorMigrations,
      log,
      now: Date.now,
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
    now: Date.now,
    fail: failUnlessEnding,
  });
  const renewals = new Renewals(config.renewal);
  const directories = new Directories((version) => signers.directory(version), Date.now);
  const source = revocationSource(config.revocation, allowedTargets);
  const signerLinks = config.signers.map(
    (signer) =>
      new SignerLink({
        signer,
        registry,
        revocation: {
          source,
          deadlineMs: config.revocation.deadlineMs,
          lookAgainMs: Math.min(maxLookAgainMs, config.revocation.refreshEveryMs),
        },
        renewals,
        askEveryMs: config.renewal.askSignerMs,
        store,
        telemetry,
        log,
        lost: () => directories.forget(),
        fail: failUnlessEnding,
      }),
  );
  const signers = new Signers(signerLinks);
  const stopRefreshing = signerLinks.map(({ revocation }) =>
    revocation.refreshEvery(config.revocation.refreshEveryMs, failUnlessEnding),
  );
  const signerThere = () => signerLinks.some(({ there }) => there);
  /** The newest that a signer has. */
  const inForce = () =>
    signerLinks.map((one) => one.registry).reduce((a, b) => (b.version > a.version ? b : a));
  const distrust: Pick<Distrust, 'refusal'> = {
    refusal: (chain, now) => first(signerLinks, (one) => one.distrust.refusal(chain, now)),
  };
  const reports = new Reports({
    coordinator: config.name,
    publish: (report) => {
      records?.later({ report });
      return records !== undefined;
    },
    limiter: new RateLimiter(() => settings.current.limits.reports),
    allowedTargets,
    now: Date.now,
  });
  const enrolments = new Enrolments({
    database: () => store.database,
    registry: () => inForce(),
    now: Date.now,
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
      now: Date.now,
      decide: decided,
    }),
    nonces,
    routes: serveRoutes({
      routes,
      limiter: new RateLimiter(() => settings.current.limits.routes),
      log,
      now: Date.now,
    }),
    maxInFlight: () => settings.current.limits.inFlight,
    telemetry,
    measures,
    log,
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
          Array.from(inForce().agents.keys(), (agent) => ({
            agent,
            contradictions: places.contradictions(agent),
          })).filter(({ contradictions }) => contradictions.length > 0),
      },
      log,
      now: Date.now,
    }));
  const there = () => [
    [natsThere ? 1 : 0, { part: 'nats' }] as const,
    [signerThere() ? 1 : 0, { part: 'signer' }] as const,
    [store.there ? 1 : 0, { part: 'database' }] as const,
  ];
  telemetry.gauge('part.there', 'Whether a part that is needed can be reached.', there);
  telemetry.gauge(
    'signers.there',
    'Signers that can be reached.',
    () => signerLinks.filter(({ there }) => there).length,
  );
  telemetry.gauge('vrp.in.flight', 'Requests being decided.', () => server.inFlight);
  telemetry.gauge('records.unconfirmed', 'Records not stored yet.', () => records?.unconfirmed);
  telemetry.gauge('records.dropped', 'Records lost since the start.', () => records?.dropped);
  telemetry.gauge(
    'reports.repeated',
    'Reports of clients that were known already.',
    () => reports.counts.repeated,
  );
  telemetry.gauge('reports.refused', 'Reports of clients beyond the limit.', () => reports.counts.refused);
  telemetry.gauge('agent.silent.seconds', 'Since the last sign of life of each agent.', () =>
    Array.from(inForce().agents.keys(), (agent) => [(perspectives?.silentMs(agent) ?? 0) / 1000, { agent }]),
  );
  telemetry.gauge('agent.place.contradicted', 'Agents that are nearer to this one than light allows.', () =>
    Array.from(inForce().agents.keys(), (agent) => [places.tooNear(agent), { agent }] as const),
  );
  settings.onReload((next) => {
    // Names and addresses of HTTPS certificates stay, what is in the files is renewed every few weeks.
    const https = httpsIdentity(next);
    return () => {
      server.useTls(https);
      certificateLog.use(next.certificateLog);
    };
  });
  let stopping = false;
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...(stopping ? ['stopping'] : []),
      ...(natsThere ? [] : ['NATS']),
      ...(signerThere() ? [] : ['signer']),
      ...(store.there ? [] : ['database']),
    ],
    status: () => ({
      name: config.name,
      registryVersion: inForce().version,
      policy: signerLinks.find((one) => one.policy)?.policy,
      signers: signerLinks.map(({ id, there }) => ({ id, there })),
      distrusted: Math.max(...signerLinks.map((one) => one.distrust.size)),
      requestsInFlight: server.inFlight,
      listening: perspectives?.listening,
      recordsUnconfirmed: records?.unconfirmed,
      recordsDropped: records?.dropped,
      perspectives: Array.from(inForce().agents.values(), ({ name, city, country, rir, asn }) => ({
        name,
        city,
        country,
        rir,
        asn,
        heard: perspectives?.heard(name) ?? false,
        silentMs: perspectives?.silentMs(name),
        contradictions: places.contradictions(name),
      })),
    }),
  });
  return {
    ready: { vrp: server.url, admin: admin.url, ...(operators && { operators: operators.address }) },
    reload: () => settings.reload(),
    async stop() {
      stopping = true;
      server.drain();
      const { lameDuckMs, probe } = settings.current;
      await delay(lameDuckMs);
      // Requests end first: they need everything else.
      await operators?.close();
      await server.close(probe.timeoutMs + probe.transitMs + drainWithinMs);
      await perspectives?.quiet(probe.graceMs);
      await records?.drain(drainWithinMs);
      for (const stopOne of stopRefreshing) stopOne();
      ending.abort(new Error('stopping'));
      await Promise.all(signerLinks.map((one) => one.close()));
      await connecting;
      await link?.close();
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

/** What the first gives that has anything to give. */
function first<T, R>(all: readonly T[], give: (one: T) => R | undefined): R | undefined {
  for (const one of all) {
    const given = give(one);
    if (given !== undefined) return given;
  }
  return undefined;
}
