import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Registry } from '@mecai/corroboration';
import {
  type Running,
  type Start,
  Telemetry,
  loadConfig,
  readText,
  splitHostPort,
  Svid,
  startAdminServer,
  telemetryConfig,
} from '@mecai/runtime';
import { voucherLinter, voucherSigner } from '@mecai/voucher';
import { AuditLog } from './audit-log.ts';
import { openHsm } from './ceremony.ts';
import { readCertificates } from './certificates.ts';
import { chainPolicyOf } from './chain-policy.ts';
import { ClockCheck } from './clock-check.ts';
import { signerConfig } from './config.ts';
import { Directories } from './directories.ts';
import { DistrustList } from './distrust-list.ts';
import { Draws } from './draws.ts';
import { Issuance } from './issuance.ts';
import { NewestCrls } from './newest-crls.ts';
import { renewals } from './renewals.ts';
import { SignerError } from './error.ts';
import { RegistryBook } from './registry-book.ts';
import { RevocationEvidence } from './revocation-evidence.ts';
import { signerMeasures } from './measures.ts';
import { startService } from './service.ts';
import { prepareTrial } from './trial.ts';
import { VaRevocation, vaLinks } from './va-revocation.ts';
import { checkVaChain } from './va-chain.ts';

/** Puts the signer together. It opens one listening port, one file for appending with its lock, and the HSM. */
export async function startSigner({ log, config: file, environment }: Start): Promise<Running> {
  const config = loadConfig(signerConfig, file, environment);
  // Undone in reverse: when a later step fails, and when the signer stops.
  await using opened = new AsyncDisposableStack();
  const hsm = openHsm(config);
  opened.defer(() => hsm.close());
  const va = checkVaChain(readCertificates(config.vaCertificate), hsm.publicKey(), new Date());
  const { certificate, intermediates } = va;
  const registryBook = new RegistryBook(
    readFileSync(config.registry),
    config.registryKeys.map(readRegistryKey),
  );
  const distrust = new DistrustList();
  const directories = new Directories();
  const chainPolicy = await chainPolicyOf(config, distrust);
  const trustContexts = chainPolicy.contexts.map(({ id }) => id);
  const anchors = chainPolicy.contexts.flatMap((context) => context.anchors.map((one) => one.certificate));

  const uptime = () => performance.now();
  const clock = new ClockCheck({ now: Date.now, uptime, maxOffsetMs: config.maxClockOffsetMs });
  let troubleSince: Date | undefined;
  const { log: auditLog, tail } = await AuditLog.open({
    path: config.auditLog,
    segmentOctets: config.auditSegmentOctets,
    now: () => new Date(),
    onTrouble: (error) => {
      troubleSince ??= new Date();
      log.error({ err: error }, 'audit log');
    },
    visit: (record) => {
      distrust.replay(record);
      directories.replay(record);
      registryBook.replay(record);
    },
  });
  if (tail.time !== undefined) clock.notBefore(tail.time);
  opened.defer(() => auditLog.close());
  if (tail.torn > 0)
    log.warn({ octets: tail.torn }, 'audit log: cut off a record that was never acknowledged');
  // No collector: the signer opens no connection. Metrics are fetched, timings travel with the answers.
  const telemetry = new Telemetry('signer', config.listen, telemetryConfig().parse({}));
  const measures = signerMeasures(telemetry);
  const audit: AuditLog['append'] = async (record) => {
    const began = performance.now();
    const sequence = await auditLog.append(record);
    measures.audit(performance.now() - began, {});
    troubleSince = undefined;
    return sequence;
  };
  prepareTrial(
    { va, policy: config.quorum, registry: registryBook.current, trustContexts },
    randomBytes(16),
    new Date(),
  );
  const published = (registry: Registry) =>
    directories.publish({ registry, policy: config.quorum, trustContexts }, new Date(), audit);
  // What vouchers name: it rises with the rule and the trust contexts as well.
  let directoryVersion = await published(registryBook.current);

  const draws = new Draws(config.draws, (draw) => {
    audit({
      event: 'draw-abandoned',
      coordinator: draw.coordinator,
      nonce: Buffer.from(draw.nonce).toString('hex'),
      endpoints: draw.endpoints,
    }).catch((error: unknown) => log.error({ err: error }, 'abandoned draw not on record'));
  });
  const sweep = setInterval(() => draws.expire(uptime()), 1000);
  opened.defer(() => clearInterval(sweep));

  const newestCrls = NewestCrls.open(config.revocation.newestCrls ?? `${config.auditLog}.crls`, (error) =>
    log.error({ err: error }, 'newest CRLs not kept'),
  );
  opened.defer(() => newestCrls.close());
  const revocationEvidence = new RevocationEvidence({ octets: config.revocation.cacheOctets }, newestCrls);
  const vaRevocation = new VaRevocation(
    vaLinks(readCertificates(config.vaCertificate), config.ownCa.flatMap(readCertificates)),
    new RevocationEvidence({ octets: config.revocation.cacheOctets }, newestCrls),
    config.revocation.vaPolicy,
  );
  const issuance = new Issuance({
    registry: () => ({ ...registryBook.current, version: directoryVersion }),
    policy: config.quorum,
    chainPolicy,
    revocation: config.revocation.policy,
    revocationEvidence,
    vaRevocation,
    draws,
    drawTtlMs: config.draws.ttlMs,
    voucherSigner: voucherSigner({ certificate, intermediates }),
    vaNotAfter: va.notAfter.getTime(),
    sign: (bytes) => {
      const began = performance.now();
      const signature = hsm.sign(bytes);
      measures.hsm(performance.now() - began, {});
      return signature;
    },
    lint: voucherLinter({
      vaCertificate: certificate,
      intermediates,
      maxLifetimeSeconds: config.voucherLifetimeSeconds,
    }),
    audit,
    allowedTargets: config.allowedTargets,
    voucherLifetimeSeconds: config.voucherLifetimeSeconds,
    clockToleranceMs: config.clockToleranceMs,
    now: Date.now,
    uptime,
    clock,
    random: randomBytes,
    drawKey: randomBytes(32),
  });
  const describe = () => ({
    certificates: [certificate, ...intermediates],
    registryVersion: registryBook.current.version,
    trustContexts,
    policy: config.quorum,
    links: vaRevocation.links.map(({ certificate: about, issuer }) => ({
      certificate: about.der,
      issuer: issuer.der,
    })),
    renewals: renewals(distrust.list(true), anchors, Date.now(), config.voucherLifetimeSeconds * 1_000),
  });
  const svid = Svid.of(config.tls, log);
  opened.defer(() => svid.close());
  const service = await startService({
    listen: config.listen,
    credentials: svid.serverCredentials(),
    coordinators: config.coordinators,
    operators: config.operators,
    operator: {
      distrust,
      registryBook,
      registryUpdate: {
        policy: config.quorum,
        audit,
        publish: async (registry) => {
          try {
            directoryVersion = await published(registry);
          } catch (error) {
            // Vouchers go on naming the version before.
            log.error({ err: error }, 'perspective directory not published');
          }
        },
      },
      trustContexts,
      audit,
      now: Date.now,
      random: randomBytes,
    },
    issuance,
    measures,
    crlOctets: config.revocation.crlOctets,
    describe,
    directory: (version) => directories.document(version, va, (bytes) => hsm.sign(bytes)),
    log,
  });
  opened.defer(() => service.close());
  telemetry.gauge(
    'clock.offset.seconds',
    'How far the clock is ahead of the perspectives’, by the last evidence.',
    () => clock.offsetMs / 1_000,
  );
  telemetry.gauge('draws.open', 'Draws that wait for evidence.', () => draws.size);
  telemetry.gauge(
    'distrust.entries',
    'Entries of the distrust list that stand.',
    () => distrust.list(false).length,
  );
  telemetry.gauge('audit.sequence', 'Records of the audit log.', () => auditLog.sequence);
  telemetry.gauge('va.certificate.expiry.timestamp.seconds', 'End of the VA certificate, since 1970.', () =>
    Math.floor(va.notAfter.getTime() / 1000),
  );
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...[vaRevocation.refusal(Date.now()), clock.refusal].filter((why) => why !== undefined),
      ...(troubleSince ? [`audit log since ${troubleSince.toISOString()}`] : []),
      ...(va.notAfter <= new Date() ? [`VA certificate since ${va.notAfter.toISOString()}`] : []),
    ],
    status: () => ({
      auditSequence: auditLog.sequence,
      openDraws: draws.size,
      distrusted: distrust.list(false).length,
      revocationEvidence: revocationEvidence.size,
      registryVersion: registryBook.current.version,
      directoryVersion,
      perspectives: registryBook.current.agents.size,
      vaCertificateUntil: va.notAfter.toISOString(),
    }),
  });
  opened.defer(() => admin.close());
  const running = opened.move();
  return {
    ready: { grpc: `${splitHostPort(config.listen).host}:${service.port}`, admin: admin.url },
    stop: () => running.disposeAsync(),
  };
}

/** @throws SignerError `unusable-configuration` */
function readRegistryKey(file: string) {
  const key = createPublicKey(readText(file));
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new SignerError('unusable-configuration', `${file}: registry keys are P-256`);
}
