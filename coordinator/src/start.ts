import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parsePrefix } from '@mecai/addresses';
import type { QuorumPolicy } from '@mecai/corroboration';
import {
  type Running,
  type Start,
  loadConfig,
  readText,
  splitHostPort,
  Telemetry,
  Svid,
  startAdminServer,
  untilItWorks,
} from '@mecai/runtime';
import { approvalMigrations } from './approval/schema.ts';
import { coordinatorConfig } from './config.ts';
import { type Decided, type Question, decide } from './decide.ts';
import { dnsClient } from './dns/dns-client.ts';
import { DistrustCopy } from './distrust/distrust-copy.ts';
import { Distrust } from './distrust/distrust.ts';
import { distrustMigrations } from './distrust/schema.ts';
import { Directories } from './directories.ts';
import { Enrolments } from './enrolment/enrolments.ts';
import { enrolmentRoutes } from './enrolment/routes.ts';
import { enrolmentMigrations } from './enrolment/schema.ts';
import { CoordinatorError } from './error.ts';
import { type Route, serveRoutes } from './http-routes.ts';
import { startVrpServer } from './http-server.ts';
import { certificateStates } from './log/hold.ts';
import { logMigrations } from './log/schema.ts';
import { startCertificateLog } from './log/start.ts';
import { coordinatorMeasures } from './measures.ts';
import { type NatsLink, openNatsLink } from './nats-link.ts';
import { noticeMigrations } from './notice/schema.ts';
import { startNotices } from './notice/start.ts';
import { Nonces } from './nonces.ts';
import { startOperatorServer } from './operator-server.ts';
import { Perspectives } from './perspectives.ts';
import { RateLimiter } from './rate-limits.ts';
import { Records } from './records.ts';
import { RegistryCopy } from './registry-copy.ts';
import { Renewals } from './renewals.ts';
import { Reports } from './reports/reports.ts';
import { Revocation, revocationSource } from './revocation.ts';
import { SignerClient } from './signer-client.ts';
import { Store } from './store.ts';
import { VrpHandler } from './vrp-handler.ts';
import { Watch } from './watch.ts';

/** How late a voucher may learn of a CRL that has been renewed; looking costs a tenth of a voucher. */
const maxLookAgainMs = 1_000;
const drainWithinMs = 5_000;

/**
 * Puts the coordinator together. It serves at once, and answers `inconclusive` with a time to retry until NATS
 * and signer have been reached; both may come, go and come back.
 */
export async function startCoordinator({ log, config: file, environment, fail }: Start): Promise<Running> {
  const config = loadConfig(coordinatorConfig, file, environment);
  const registry = new RegistryCopy(readText(config.registry), log);
  const telemetry = new Telemetry('coordinator', config.name, config.telemetry);
  const measures = coordinatorMeasures(telemetry);
  const ending = new AbortController();
  const { signal } = ending;
  const failUnlessEnding = (error: unknown) => {
    if (!signal.aborted) fail(error);
  };

  let policy: QuorumPolicy | undefined;
  let signerThere = false;
  const svid = Svid.of(config.signer.tls, log);
  const signer = new SignerClient({
    address: config.signer.address,
    credentials: svid.clientCredentials(config.signer.id),
    log,
    telemetry,
    lost: () => {
      revocation.forget();
      directories.forget();
      // One that has come back may have another policy.
      if (signerThere) describe().catch(failUnlessEnding);
    },
  });
  const directories = new Directories((version) => signer.directory(version), Date.now);
  const allowedTargets = config.allowedTargets.map(parsePrefix);
  const revocation = new Revocation({
    source: revocationSource(config.revocation, allowedTargets),
    signer,
    deadlineMs: config.revocation.deadlineMs,
    lookAgainMs: Math.min(maxLookAgainMs, config.revocation.refreshEveryMs),
    log,
  });
  const stopRefreshing = revocation.refreshEvery(config.revocation.refreshEveryMs, failUnlessEnding);
  const renewals = new Renewals(config.renewal);
  async function describe(): Promise<void> {
    signerThere = false;
    const description = await untilItWorks('signer', () => signer.describe(), { log, signal });
    const { registryVersion, links } = description;
    // First, so that the first voucher has the VA's status too.
    await revocation.bringOfVa(links);
    signerThere = true;
    policy = description.policy;
    renewals.set(description.renewals);
    log.info({ policy, registryVersion }, 'signer reached');
  }
  describe().catch(failUnlessEnding);
  const watchingRegistry = new Watch(
    () => signer.watchRegistry(),
    (message) => registry.learn(message),
  );
  const askingForRenewals = setInterval(() => {
    if (!signerThere) return;
    // One that cannot be reached is waited for elsewhere.
    signer.describe().then(
      (description) => renewals.set(description.renewals),
      () => undefined,
    );
  }, config.renewal.askSignerMs);

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
    records = new Records(opened.jetstream, config.name, log);
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
    if (!policy) throw new CoordinatorError('signer-unavailable', 'the signer has not been reached yet');
    const { name, probe } = config;
    const { certificates } = certificateLog;
    const parts = { name, signer, revocation, distrust, perspectives, records, certificates };
    return decide(
      { ...parts, registry: registry.current, policy, probe, telemetry, measures, log, now: Date.now },
      question,
    );
  }

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
      migrations: {
        log: logMigrations,
        notice: noticeMigrations,
        approval: approvalMigrations,
        distrust: distrustMigrations,
        enrolment: enrolmentMigrations,
      },
      log,
      now: Date.now,
      random: Math.random,
      fail,
    },
    (database) => notices?.opened(database),
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
    log,
    now: Date.now,
    fail: failUnlessEnding,
  });
  const distrust = new Distrust({
    copy: new DistrustCopy(config.signer.id, () => store.database),
    watch: () => signer.watchDistrust(),
    log,
    fail: failUnlessEnding,
  });
  const reports = new Reports({
    coordinator: config.name,
    publish: (report) => {
      records?.later({ report });
      return records !== undefined;
    },
    limiter: new RateLimiter(config.limits.reports),
    allowedTargets,
    now: Date.now,
  });
  const enrolments = new Enrolments({
    database: () => store.database,
    registry: () => registry.current,
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

  const nonces = new Nonces(randomBytes(32));
  const server = await startVrpServer({
    ...splitHostPort(config.listen),
    tls: { certificate: readFileSync(config.tls.certificate), key: readFileSync(config.tls.key) },
    handler: new VrpHandler({
      config,
      allowedTargets,
      nonces,
      measures,
      log,
      now: Date.now,
      decide: decided,
    }),
    nonces,
    routes: serveRoutes({ routes, limiter: new RateLimiter(config.limits.routes), log, now: Date.now }),
    maxInFlight: config.limits.inFlight,
    telemetry,
    measures,
    log,
  });
  const operators =
    config.operators &&
    (await startOperatorServer({
      config: config.operators,
      database: () => store.database,
      objections: certificateLog.objections,
      approvals: () => notices?.approvals(),
      enrolments,
      log,
      now: Date.now,
    }));
  const there = () => [
    [natsThere ? 1 : 0, { part: 'nats' }] as const,
    [signerThere ? 1 : 0, { part: 'signer' }] as const,
    [store.there ? 1 : 0, { part: 'database' }] as const,
  ];
  telemetry.gauge('part.there', 'Whether a part that is needed can be reached.', there);
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
    Array.from(registry.current.agents.keys(), (agent) => [
      (perspectives?.silentMs(agent) ?? 0) / 1000,
      { agent },
    ]),
  );
  telemetry.gauge<'state'>('certificates', 'Certificates in the log by state, as of the last sweep.', () =>
    certificateStates.flatMap((state) => {
      const count = certificateLog.counts?.[state];
      return count === undefined ? [] : [[count, { state }] as const];
    }),
  );
  telemetry.gauge(
    'certificates.last.seen.pending',
    'Endpoints whose last request is not written yet.',
    () => certificateLog.lastSeenPending,
  );
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...(natsThere ? [] : ['NATS']),
      ...(signerThere ? [] : ['signer']),
      ...(store.there ? [] : ['database']),
    ],
    status: () => ({
      name: config.name,
      registryVersion: registry.current.version,
      policy,
      distrusted: distrust.size,
      requestsInFlight: server.inFlight,
      listening: perspectives?.listening,
      recordsUnconfirmed: records?.unconfirmed,
      recordsDropped: records?.dropped,
      perspectives: Array.from(registry.current.agents.values(), ({ name, city, country, rir, asn }) => ({
        name,
        city,
        country,
        rir,
        asn,
        heard: perspectives?.heard(name) ?? false,
        silentMs: perspectives?.silentMs(name),
      })),
    }),
  });
  return {
    ready: { vrp: server.url, admin: admin.url, ...(operators && { operators: operators.address }) },
    async stop() {
      // Requests end first: they need everything else.
      await operators?.close();
      await server.close(config.probe.timeoutMs + config.probe.transitMs + drainWithinMs);
      await perspectives?.quiet(config.probe.graceMs);
      await records?.drain(drainWithinMs);
      stopRefreshing();
      clearInterval(askingForRenewals);
      await distrust.close();
      ending.abort(new Error('stopping'));
      watchingRegistry.close();
      signer.close();
      svid.close();
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
