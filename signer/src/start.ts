import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Registry } from '@mecai/corroboration';
import {
  RuntimeError,
  type Running,
  Settings,
  type Start,
  Svid,
  Telemetry,
  readText,
  splitHostPort,
  startAdminServer,
  telemetryConfig,
} from '@mecai/runtime';
import { AuditLog } from './audit-log.ts';
import { openHsm } from './ceremony.ts';
import { ClockCheck } from './clock-check.ts';
import { type SignerConfig, changeable, signerConfig } from './config.ts';
import { Directories } from './directories.ts';
import { DistrustList } from './distrust-list.ts';
import { Draws } from './draws.ts';
import { SignerError } from './error.ts';
import { type Issuing, openIssuing } from './issuing.ts';
import { signerMeasures } from './measures.ts';
import { NewestCrls } from './newest-crls.ts';
import { RegistryBook } from './registry-book.ts';
import { RevocationEvidence } from './revocation-evidence.ts';
import { startService } from './service.ts';
import { VaHistory } from './va-history.ts';

/** Puts the signer together. It opens one listening port, one file for appending with its lock, and the HSM. */
export async function startSigner({ log, ...start }: Start): Promise<Running> {
  const settings = Settings.load(signerConfig, { log, ...start }, changeable);
  const config = settings.current;
  // Undone in reverse: when a later step fails, and when the signer stops.
  await using opened = new AsyncDisposableStack();
  const hsm = hsmOf(config);
  opened.defer(() => hsm.close());
  const registryBook = new RegistryBook(
    readFileSync(config.registry),
    config.registryKeys.map(readRegistryKey),
  );
  const distrust = new DistrustList();
  const directories = new Directories();
  const vaHistory = new VaHistory();
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
      for (const book of [distrust, directories, registryBook, vaHistory]) book.replay(record);
    },
  });
  opened.defer(() => auditLog.close());
  if (tail.time !== undefined) clock.notBefore(tail.time);
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
  const evidenceOf = () => new RevocationEvidence({ octets: config.revocation.cacheOctets }, newestCrls);
  const revocationEvidence = evidenceOf();
  let directoryVersion = 0;
  const lasting = {
    hsm,
    registryBook,
    distrust,
    directories,
    draws,
    revocationEvidence,
    vaEvidence: evidenceOf(),
    clock,
    audit,
    measures,
    directoryVersion: () => directoryVersion,
    now: Date.now,
    uptime,
    drawKey: randomBytes(32),
  };
  /** On record before anything is signed so. */
  const announce = async ({ published, inUse }: Pick<Issuing, 'published' | 'inUse'>) => {
    directoryVersion = await directories.publish(published, new Date(), audit);
    await vaHistory.use(inUse, new Date(), audit);
  };
  let issuing = await openIssuing(config, lasting);
  // Not before it has been found usable.
  const contradiction = await registryBook.begin(audit);
  if (contradiction !== undefined) log.warn(contradiction);
  await announce(issuing);

  const svid = Svid.of(config.tls, log);
  opened.defer(() => svid.close());
  const service = await startService({
    listen: config.listen,
    credentials: svid.serverCredentials(),
    terms: () => {
      const { coordinators, operators, revocation } = settings.current;
      return { coordinators, operators, crlOctets: revocation.crlOctets, issuance: issuing.issuance };
    },
    operator: {
      distrust,
      registryBook,
      registryUpdate: {
        policy: config.quorum,
        audit,
        publish: async (registry: Registry) => {
          try {
            await announce({ ...issuing, published: { ...issuing.published, registry } });
          } catch (error) {
            // Vouchers go on naming the version before.
            log.error({ err: error }, 'perspective directory not published');
          }
        },
      },
      trustContexts: () => issuing.trustContexts,
      audit,
      now: Date.now,
      random: randomBytes,
    },
    measures,
    describe: () => issuing.describe(),
    directory: (version) => issuing.directory(version),
    log,
  });
  opened.defer(() => service.close());
  settings.onReload(async (next) => {
    const prepared = await openIssuing(next, lasting);
    await announce(prepared);
    return () => {
      issuing = prepared;
      draws.limits = next.draws;
      clock.maxOffsetMs = next.maxClockOffsetMs;
      service.recheck();
    };
  });
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
    Math.floor(issuing.va.notAfter.getTime() / 1000),
  );
  let stopping = false;
  const admin = await startAdminServer(splitHostPort(config.admin), {
    metrics: () => telemetry.metrics(),
    missing: () => [
      ...(stopping ? ['stopping'] : []),
      ...[issuing.refusal(Date.now()), clock.refusal].filter((why) => why !== undefined),
      ...(troubleSince ? [`audit log since ${troubleSince.toISOString()}`] : []),
      ...(issuing.va.notAfter <= new Date()
        ? [`VA certificate since ${issuing.va.notAfter.toISOString()}`]
        : []),
    ],
    status: () => ({
      auditSequence: auditLog.sequence,
      openDraws: draws.size,
      distrusted: distrust.list(false).length,
      revocationEvidence: revocationEvidence.size,
      registryVersion: registryBook.current.version,
      directoryVersion,
      perspectives: registryBook.current.agents.size,
      vaKey: issuing.inUse.key,
      vaCertificate: issuing.inUse.certificate,
      vaCertificateUntil: issuing.va.notAfter.toISOString(),
    }),
  });
  opened.defer(() => admin.close());
  const running = opened.move();
  return {
    ready: { grpc: `${splitHostPort(config.listen).host}:${service.port}`, admin: admin.url },
    reload: () => settings.reload(),
    async stop() {
      stopping = true;
      service.drain();
      const until = uptime() + settings.current.drainMs;
      while (draws.size > 0 && uptime() < until) await delay(20);
      await running.disposeAsync();
    },
  };
}

/** @throws SignerError `unusable-configuration` */
function readRegistryKey(file: string) {
  const key = createPublicKey(readText(file));
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new SignerError('unusable-configuration', `${file}: registry keys are P-256`);
}

/** @throws RuntimeError when the token refuses the PIN: whoever starts this again and again would lock it */
function hsmOf(config: SignerConfig): ReturnType<typeof openHsm> {
  try {
    return openHsm(config);
  } catch (error) {
    if (!(error instanceof SignerError) || error.code !== 'pin-refused') throw error;
    throw new RuntimeError('bad-configuration', `hsm.pinFile: ${error.message}`, { cause: error });
  }
}
