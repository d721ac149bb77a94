/** All that the configuration decides about vouchers: put together at the start, and again at each reload. */
import { randomBytes } from 'node:crypto';
import type { DescribeResponse } from '@mecai/proto/signer';
import { voucherLinter, voucherSigner } from '@mecai/voucher';
import type { AuditLog } from './audit-log.ts';
import { readCertificates } from './certificates.ts';
import { chainPolicyOf } from './chain-policy.ts';
import type { ClockCheck } from './clock-check.ts';
import type { SignerConfig } from './config.ts';
import { sha256Hex } from './digest.ts';
import type { Directories, Published } from './directories.ts';
import type { DistrustList } from './distrust-list.ts';
import type { Draws } from './draws.ts';
import type { Hsm } from './hsm.ts';
import { HsmHealth } from './hsm-health.ts';
import { Issuance } from './issuance.ts';
import type { SignerMeasures } from './measures.ts';
import type { RegistryBook } from './registry-book.ts';
import { renewals } from './renewals.ts';
import type { RevocationEvidence } from './revocation-evidence.ts';
import { prepareTrial } from './trial.ts';
import { type VaChain, checkVaChain } from './va-chain.ts';
import type { VaInUse } from './va-history.ts';
import { VaRevocation, vaLinks } from './va-revocation.ts';

/** What stays as it is while the configuration changes. */
export interface Lasting {
  readonly hsm: Hsm;
  readonly registryBook: RegistryBook;
  readonly distrust: DistrustList;
  readonly directories: Directories;
  readonly draws: Draws;
  readonly revocationEvidence: RevocationEvidence;
  /** About the VA's own certificates alone: what is known of them must not be crowded out. */
  readonly vaEvidence: RevocationEvidence;
  readonly clock: ClockCheck;
  readonly audit: AuditLog['append'];
  readonly measures: Pick<SignerMeasures, 'hsm'>;
  /** What vouchers name: it rises with the rule and the trust contexts as well. */
  readonly directoryVersion: () => number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly uptime: () => number;
  readonly drawKey: Uint8Array;
}

export interface Issuing {
  readonly issuance: Issuance;
  readonly va: VaChain;
  readonly inUse: VaInUse;
  readonly trustContexts: readonly string[];
  readonly published: Published;
  describe(): DescribeResponse;
  /** Why nothing may be signed. */
  refusal(now: number): string | undefined;
  /** A version of the perspective directory, 0 for the latest. */
  directory(version: number): Uint8Array | undefined;
}

/** @throws SignerError, PkiError; the system's own for a file that is not there */
export async function openIssuing(config: SignerConfig, lasting: Lasting): Promise<Issuing> {
  const { registryBook, distrust, directories, draws, clock, measures, now, uptime } = lasting;
  const hsm = lasting.hsm.key(config.hsm.key);
  const chain = readCertificates(config.vaCertificate);
  const va = checkVaChain(chain, hsm.publicKey(), new Date(now()));
  const { certificate, intermediates } = va;
  const cas = config.ownCa.flatMap(readCertificates);
  const nextChain = config.nextVa && readCertificates(config.nextVa.certificate);
  if (config.nextVa && nextChain) {
    checkVaChain(nextChain, lasting.hsm.key(config.nextVa.key).publicKey(), new Date(now()));
  }
  const chainPolicy = await chainPolicyOf(config, distrust);
  const trustContexts = chainPolicy.contexts.map(({ id }) => id);
  const anchors = chainPolicy.contexts.flatMap((context) => context.anchors.map((one) => one.certificate));
  const policy = config.quorum;
  prepareTrial(
    { va, policy, registry: registryBook.current, trustContexts },
    randomBytes(16),
    new Date(now()),
  );
  const vaRevocation = new VaRevocation(
    vaLinks(chain, cas),
    lasting.vaEvidence,
    config.revocation.vaPolicy,
    nextChain && vaLinks(nextChain, cas),
  );
  const health = new HsmHealth({
    sign: (bytes) => {
      const began = performance.now();
      const signature = hsm.sign(bytes);
      measures.hsm(performance.now() - began, {});
      return signature;
    },
    now,
    uptime,
  });
  const { sign } = health;
  const { voucherLifetimeSeconds } = config;
  const issuance = new Issuance({
    registry: () => ({ ...registryBook.current, version: lasting.directoryVersion() }),
    policy,
    chainPolicy,
    revocation: config.revocation.policy,
    revocationEvidence: lasting.revocationEvidence,
    vaRevocation,
    draws,
    drawTtlMs: config.draws.ttlMs,
    voucherSigner: voucherSigner({ certificate, intermediates }),
    vaNotAfter: va.notAfter.getTime(),
    sign,
    hsm: health,
    lint: voucherLinter({
      vaCertificate: certificate,
      intermediates,
      maxLifetimeSeconds: voucherLifetimeSeconds,
    }),
    audit: lasting.audit,
    allowedTargets: config.allowedTargets,
    voucherLifetimeSeconds,
    clockToleranceMs: config.clockToleranceMs,
    now,
    uptime,
    clock,
    random: randomBytes,
    drawKey: lasting.drawKey,
  });
  return {
    issuance,
    va,
    inUse: { key: config.hsm.key, certificate: sha256Hex(certificate) },
    trustContexts,
    get published() {
      return { registry: registryBook.current, policy, trustContexts };
    },
    describe: () => ({
      certificates: [certificate, ...intermediates],
      registryVersion: registryBook.current.version,
      trustContexts,
      policy,
      links: vaRevocation.links.map((link) => ({
        certificate: link.certificate.der,
        issuer: link.issuer.der,
      })),
      renewals: renewals(distrust.list(true), anchors, now(), voucherLifetimeSeconds * 1_000),
    }),
    refusal: (time) => vaRevocation.refusal(time) ?? health.refusal,
    directory: (version) => directories.document(version, va, sign),
  };
}
