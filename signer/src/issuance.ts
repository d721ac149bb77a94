/**
 * The signer's whole judgement. It believes a coordinator nothing: it draws the perspectives, checks every
 * observation against the draw and the registry, recomputes the quorum, builds the voucher itself, and lints
 * the finished bytes before they leave.
 */
import type { Prefix } from '@mecai/addresses';
import {
  type Agent,
  CorroborationError,
  type QuorumPolicy,
  type Registry,
  drawPerspectives,
  keyTypeOf,
} from '@mecai/corroboration';
import { PkiError, type RevocationPolicy } from '@mecai/pki';
import type { SignedObservation, Target } from '@mecai/proto';
import { type Drawn, type Issued, RefusalCode, type Subject } from '@mecai/proto/signer';
import type { PreparedVoucher, Voucher, VoucherLinter, VoucherSigner } from '@mecai/voucher';
import type { AuditRecord } from './audit-log.ts';
import type { Accepted, ChainPolicy } from './chain-policy.ts';
import type { ClockCheck } from './clock-check.ts';
import { hex, sha256 } from './digest.ts';
import type { Draws, OpenDraw } from './draws.ts';
import { type Findings, describeQuorum, examine, maxObservations, quorumOf } from './evidence.ts';
import type { HsmHealth } from './hsm-health.ts';
import { RefusedError, refusalName } from './refusal.ts';
import { type Revocation, type RevocationRefusal, checkRevocation } from './revocation-check.ts';
import type { RevocationEvidence } from './revocation-evidence.ts';
import { type Laps, untimed } from './stopwatch.ts';
import { checkSubject, endpointsOf } from './subject.ts';
import type { VaRevocation } from './va-revocation.ts';
import { voucherContent } from './voucher-content.ts';

export interface IssuanceParts {
  readonly registry: () => Registry;
  readonly policy: QuorumPolicy;
  readonly chainPolicy: Pick<ChainPolicy, 'assess'>;
  readonly revocation: RevocationPolicy;
  readonly revocationEvidence: RevocationEvidence;
  readonly vaRevocation: VaRevocation;
  readonly draws: Draws;
  readonly drawTtlMs: number;
  readonly voucherSigner: VoucherSigner;
  /** Milliseconds since 1970: the first certificate of the VA's chain to expire. */
  readonly vaNotAfter: number;
  /** ECDSA over the octets, DER Ecdsa-Sig-Value; made in the HSM. */
  readonly sign: (toBeSigned: Uint8Array) => Uint8Array;
  readonly hsm: Pick<HsmHealth, 'refusal'>;
  readonly lint: VoucherLinter;
  readonly audit: (record: AuditRecord) => Promise<number>;
  /** Special-purpose ranges that may be probed all the same, for test networks. */
  readonly allowedTargets: readonly Prefix[];
  readonly voucherLifetimeSeconds: number;
  readonly clockToleranceMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds by a clock that nobody sets. */
  readonly uptime: () => number;
  readonly clock: ClockCheck;
  readonly random: (octets: number) => Uint8Array;
  /** Secret of this signer for the draw. */
  readonly drawKey: Uint8Array;
}

export class Issuance {
  readonly #parts: IssuanceParts;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  /** @throws RefusedError */
  draw(subject: Subject, coordinator: string): Drawn {
    const { now, uptime, draws, random, registry, allowedTargets, vaNotAfter, vaRevocation } = this.#parts;
    const [time, drawnAt] = [now(), uptime()];
    if (time >= vaNotAfter) {
      const since = new Date(vaNotAfter).toISOString();
      throw new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, `the VA certificate expired at ${since}`);
    }
    const revoked = vaRevocation.refusal(time);
    if (revoked !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, revoked);
    const mute = this.#parts.hsm.refusal;
    if (mute !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, mute);
    checkSubject(subject, allowedTargets);
    const digests = subject.chain.map(sha256);
    const endpoints = endpointsOf(subject, digests[0]!);
    const limit = draws.limitReached(coordinator, endpoints, drawnAt);
    if (limit !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_DRAW_LIMIT, limit);
    // A draw must not keep the whole message alive that it came in.
    const chain = subject.chain.map((der) => Uint8Array.from(der));
    const { serverName, port, startTls } = subject;
    const assessment = this.#parts.chainPolicy.assess(chain, serverName, time, digests);
    if ('refusal' in assessment) throw new RefusedError(assessment.refusal.code, assessment.refusal.detail);
    // Evidence that is missing may still come; what is known to be revoked need not be looked at.
    const revocation = this.#checkRevocation(assessment, time, 'allow-unknown');
    if ('refusal' in revocation) throw new RefusedError(revocation.refusal.code, revocation.refusal.detail);
    const keyType = keyTypeOf(assessment.leafKey);
    const targets = subject.addresses.map(
      (address): Target => ({
        address: Uint8Array.from(address),
        port,
        serverName,
        startTls,
        keyType,
      }),
    );
    const nonce = random(32);
    const { agents, version } = registry();
    const drawn = this.#drawAgents(agents, nonce);
    draws.add({
      nonce,
      coordinator,
      targets,
      chain,
      digests,
      links: assessment.links,
      agents: drawn,
      registryVersion: version,
      drawnAt,
      expiresAt: drawnAt + this.#parts.drawTtlMs,
      endpoints,
    });
    return {
      nonce,
      agents: [...drawn.keys()],
      expiresAt: time + this.#parts.drawTtlMs,
      targets,
      trustContexts: resultsOf(revocation),
      links: assessment.links.map(({ certificate, issuer }) => ({
        certificate: certificate.der,
        issuer: issuer.der,
      })),
    };
  }

  /**
   * Everything up to the audit log happens in one go: two requests cannot both use a draw.
   *
   * @throws RefusedError; after `no-quorum` the draw stays open for more evidence until it expires
   */
  async issue(
    nonce: Uint8Array,
    observations: readonly SignedObservation[],
    coordinator: string,
    watch: Laps = untimed,
  ): Promise<Issued> {
    const { now, uptime, draws, audit, registry, policy, clock } = this.#parts;
    const time = now();
    const draw = draws.find(nonce, coordinator, uptime());
    // Not put on record: it costs the asker nothing, and could fill the disk.
    if (!draw) throw new RefusedError(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw is open');
    if (!draws.attempt(draw)) {
      throw new RefusedError(RefusalCode.REFUSAL_CODE_DRAW_LIMIT, 'too many attempts with one draw');
    }
    if (observations.length > maxObservations(draw)) {
      throw await this.#refuse(draw, RefusalCode.REFUSAL_CODE_MALFORMED, 'too many observations');
    }
    const findings = examine(draw, registry().agents, observations, this.#parts, time);
    const result = quorumOf(draw, findings, policy);
    watch.lap('evidence and quorum');
    const times = [...findings.times.values()];
    // Those whose say makes a quorum, or most of those drawn.
    if (result.outcome === 'corroborated' || times.length > draw.agents.size / 2) {
      clock.hear(times, draw.drawnAt);
      const wrong = clock.refusal;
      if (wrong !== undefined)
        throw await this.#refuse(draw, RefusalCode.REFUSAL_CODE_CLOCK, wrong, findings);
    }
    if (result.outcome !== 'corroborated') {
      const detail = describeQuorum(draw, result);
      throw await this.#refuse(draw, RefusalCode.REFUSAL_CODE_NO_QUORUM, detail, findings);
    }

    this.#takeStapled(draw, findings, time);
    const standing = this.#standing(draw, findings, time);
    if ('refusal' in standing) {
      const { code, detail } = standing.refusal;
      // Evidence may still come; about the rest there is nothing more to say.
      if (code !== RefusalCode.REFUSAL_CODE_REVOCATION_UNKNOWN) draws.close(draw);
      throw await this.#refuse(draw, code, detail, findings);
    }

    watch.lap('trust and revocation');
    draws.close(draw);
    const serial = this.#parts.random(16);
    const terms = { ...this.#parts, lifetimeSeconds: this.#parts.voucherLifetimeSeconds };
    const voucher = voucherContent(draw, findings, result, standing, terms, serial, time);
    const signed = this.#sign(voucher, time, watch);
    if ('failure' in signed) {
      const { failure, cause } = signed;
      throw await this.#refuse(draw, RefusalCode.REFUSAL_CODE_INTERNAL, failure, findings, cause);
    }
    try {
      const auditSequence = await audit({
        event: 'issued',
        coordinator,
        serial: hex(voucher.serial),
        content: hex(signed.prepared.contentHash),
        nonce: hex(draw.nonce),
        endpoints: draw.endpoints,
        trustContexts: standing.trustContexts,
        evidence: findings.evidence,
        faults: findings.faults,
      });
      watch.lap('audit log');
      return { voucher: signed.bytes, auditSequence, trustContexts: resultsOf(standing) };
    } catch (cause) {
      throw new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, 'the audit log cannot be written', [], {
        cause,
      });
    }
  }

  /**
   * Takes in a CRL or OCSP response about a certificate of an open draw, or of this VA.
   *
   * @param nonce of the draw; empty for this VA
   * @param link position in `Drawn.links`, or in `DescribeResponse.links`
   * @throws RefusedError `unknown-draw`, `malformed`
   */
  supply(
    nonce: Uint8Array,
    link: number,
    coordinator: string,
  ): (kind: 'crl' | 'ocsp', der: Uint8Array) => Promise<void> {
    const { now, uptime, draws, revocationEvidence, vaRevocation } = this.#parts;
    const ofVa = nonce.length === 0;
    const links = ofVa ? vaRevocation.links : draws.find(nonce, coordinator, uptime())?.links;
    if (!links) throw new RefusedError(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw is open');
    const about = links[link];
    if (!about) throw new RefusedError(RefusalCode.REFUSAL_CODE_MALFORMED, `there is no link ${link}`);
    return async (kind, der) => {
      const time = () => new Date(now());
      try {
        if (ofVa) await vaRevocation.add(kind, der, about, time);
        else if (kind === 'crl') await revocationEvidence.addCrl(der, about, time);
        else revocationEvidence.addOcsp(der, about, time());
      } catch (error) {
        if (!(error instanceof PkiError)) throw error;
        throw new RefusedError(RefusalCode.REFUSAL_CODE_MALFORMED, error.message);
      }
    };
  }

  /** Today's judgement of the chain: distrust and revocation may have come since the draw. */
  #standing(
    { chain, targets, digests }: OpenDraw,
    { scts }: Findings,
    time: number,
  ): Revocation | { readonly refusal: RevocationRefusal } {
    const { chainPolicy, revocation } = this.#parts;
    const assessment = chainPolicy.assess(chain, targets[0]!.serverName, time, digests, scts);
    return 'refusal' in assessment ? assessment : this.#checkRevocation(assessment, time, revocation);
  }

  #checkRevocation(assessment: Accepted, time: number, policy: RevocationPolicy) {
    const at = new Date(time);
    return checkRevocation(
      assessment,
      (link) => this.#parts.revocationEvidence.status(link, at),
      policy,
      new Date(Math.floor(time / 1000) * 1000),
    );
  }

  /** What the server staples counts like what a coordinator hands in: once it verifies. */
  #takeStapled({ links }: OpenDraw, { stapled }: Findings, time: number): void {
    for (const link of links.filter(({ position }) => position === 0)) {
      for (const response of stapled) {
        try {
          this.#parts.revocationEvidence.addOcsp(response, link, new Date(time));
        } catch (error) {
          if (!(error instanceof PkiError)) throw error;
        }
      }
    }
  }

  #drawAgents(agents: Registry['agents'], nonce: Uint8Array): ReadonlyMap<string, Agent> {
    const { policy, drawKey } = this.#parts;
    try {
      const drawn = drawPerspectives(policy, [...agents.values()], drawKey, nonce);
      return new Map(drawn.map(({ name }) => [name, agents.get(name)!]));
    } catch (error) {
      if (!(error instanceof CorroborationError)) throw error;
      throw new RefusedError(RefusalCode.REFUSAL_CODE_TOO_FEW_PERSPECTIVES, error.message);
    }
  }

  /** Signed in the HSM and linted, or why not. */
  #sign(
    voucher: Voucher,
    time: number,
    watch: Laps,
  ): { bytes: Uint8Array; prepared: PreparedVoucher } | { failure: string; cause?: unknown } {
    const { voucherSigner, sign, lint, vaRevocation } = this.#parts;
    const refusal = vaRevocation.refusal(time);
    if (refusal !== undefined) return { failure: refusal };
    const revocation = vaRevocation.documents(time);
    try {
      const prepared = voucherSigner.prepare(voucher, new Date(time));
      watch.lap('voucher built');
      const signature = sign(prepared.toBeSigned);
      watch.lap('HSM');
      const bytes = prepared.finish(signature, revocation);
      const problems = lint(bytes, voucher, revocation);
      watch.lap('lint');
      if (problems.length === 0) return { bytes, prepared };
      return { failure: `lint: ${problems.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}` };
    } catch (cause) {
      return { failure: 'the voucher was not signed', cause };
    }
  }

  /** Refusals of evidence are on record too: they are how a captured coordinator shows. */
  async #refuse(
    draw: OpenDraw,
    code: RefusalCode,
    detail: string,
    findings?: Findings,
    cause?: unknown,
  ): Promise<RefusedError> {
    const faults = [...(findings?.faults ?? [])];
    const refused = new RefusedError(code, detail, faults, { cause });
    try {
      await this.#parts.audit({
        event: 'refused',
        coordinator: draw.coordinator,
        code: refusalName(code),
        detail,
        nonce: hex(draw.nonce),
        endpoints: draw.endpoints,
        evidence: findings?.evidence ?? [],
        faults,
      });
    } catch {
      // It is a refusal all the same; the log has reported its trouble.
    }
    return refused;
  }
}

const resultsOf = ({ contexts }: Revocation) =>
  contexts.map(({ id, trusted, reason }) => ({ id, trusted, reason }));
