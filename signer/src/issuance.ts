/**
 * The signer's whole judgement. It believes a coordinator nothing: it draws the perspectives, checks every
 * observation against the draw and the registry, recomputes the quorum, builds the voucher itself, and lints
 * the finished bytes before they leave.
 */
import { createHash } from 'node:crypto';
import { type Prefix, forbiddenTarget, formatAddress } from '@mecai/addresses';
import {
  type Agent,
  CorroborationError,
  type EvidenceFault,
  type QuorumPolicy,
  type QuorumResult,
  type Registry,
  type Verdict,
  checkObservation,
  drawPerspectives,
  evaluateQuorum,
  judge,
  keyTypeOf,
  verifyObservationSignature,
} from '@mecai/corroboration';
import type { SignedObservation, Target } from '@mecai/proto';
import { type Drawn, type Issued, RefusalCode, type Refused, type Subject } from '@mecai/proto/signer';
import { type Perspective, type Voucher, type VoucherLinter, type VoucherSigner } from '@mecai/voucher';
import type { AuditRecord } from './audit-log.ts';
import type { ChainPolicy } from './chain-policy.ts';
import type { Draws, OpenDraw } from './draws.ts';

export interface IssuanceParts {
  readonly registry: () => Registry;
  readonly policy: QuorumPolicy;
  readonly chainPolicy: ChainPolicy;
  readonly draws: Draws;
  readonly drawTtlMs: number;
  readonly voucherSigner: VoucherSigner;
  /** ECDSA over the octets, DER Ecdsa-Sig-Value; made in the HSM. */
  readonly sign: (toBeSigned: Uint8Array) => Uint8Array;
  readonly lint: VoucherLinter;
  readonly audit: (record: AuditRecord) => Promise<number>;
  /** Special-purpose ranges that may be probed all the same, for test networks. */
  readonly allowedTargets: readonly Prefix[];
  readonly voucherLifetimeSeconds: number;
  readonly clockToleranceMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly random: (octets: number) => Uint8Array;
  /** Secret of this signer for the draw. */
  readonly drawKey: Uint8Array;
}

export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly refused: Refused;

  constructor(code: RefusalCode, detail: string, faults: Refused['faults'] = [], options?: ErrorOptions) {
    super(detail, options);
    this.refused = { code, detail, faults };
  }
}

interface Seen {
  readonly verdict: Verdict;
  readonly code?: string;
}

interface Findings {
  /** By target, then by agent. */
  readonly seen: readonly Map<string, Seen>[];
  readonly faults: { agent: string; fault: EvidenceFault | 'equivocation' }[];
  /** SHA-256 of each observation that counted, hex. */
  readonly evidence: string[];
}

export class Issuance {
  readonly #parts: IssuanceParts;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  /** @throws RefusedError */
  draw(subject: Subject, coordinator: string): Drawn {
    const { now, draws, policy, random, registry, drawKey } = this.#parts;
    const time = now();
    this.#checkSubject(subject);
    const assessment = this.#parts.chainPolicy.assess(subject.chain, subject.serverName, time);
    if ('refusal' in assessment) throw new RefusedError(assessment.refusal.code, assessment.refusal.detail);
    const targets = subject.addresses.map(
      (address): Target => ({
        address,
        port: subject.port,
        serverName: subject.serverName,
        startTls: subject.startTls,
        keyType: keyTypeOf(assessment.leafKey),
      }),
    );
    const endpoint = [sha256(subject.chain[0]!), ...subject.addresses.map(formatAddress), subject.port].join(
      ' ',
    );
    const limit = draws.limitReached(endpoint, time);
    if (limit !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_DRAW_LIMIT, limit);

    const nonce = random(32);
    const { agents, version } = registry();
    const drawn = this.#drawAgents(policy, [...agents.values()], drawKey, nonce);
    const expiresAt = time + this.#parts.drawTtlMs;
    draws.add({
      nonce,
      coordinator,
      targets,
      chain: subject.chain,
      trustContexts: assessment.trustContexts,
      agents: new Map(drawn.map((agent) => [agent.name, agent])),
      registryVersion: version,
      expiresAt,
      endpoint,
    });
    return {
      nonce,
      agents: drawn.map(({ name }) => name),
      expiresAt,
      targets,
      trustContexts: assessment.results.map(({ id, trusted, reason }) => ({ id, trusted, reason })),
    };
  }

  /** @throws RefusedError; the draw stays open for more evidence until it expires */
  async issue(
    nonce: Uint8Array,
    observations: readonly SignedObservation[],
    coordinator: string,
  ): Promise<Issued> {
    const { now, draws, audit } = this.#parts;
    const time = now();
    const draw = draws.find(nonce, coordinator, time);
    // Not put on record: it costs the asker nothing, and could fill the disk.
    if (!draw) throw new RefusedError(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw is open');
    if (!draws.attempt(draw)) {
      throw new RefusedError(RefusalCode.REFUSAL_CODE_DRAW_LIMIT, 'too many attempts with one draw');
    }
    // Every agent may answer for every target; twice, since retries happen.
    if (observations.length > 2 * draw.agents.size * draw.targets.length) {
      throw await this.#refuse(
        coordinator,
        draw,
        RefusalCode.REFUSAL_CODE_MALFORMED,
        'too many observations',
      );
    }
    // An agent may have been struck off since.
    const registered = this.#parts.registry().agents;
    const agents = new Map(
      [...draw.agents].filter(([name, agent]) => registered.get(name)?.keyId === agent.keyId),
    );
    const findings = this.#examine(draw, agents, observations, time);
    const results = findings.seen.map((seen) => this.#quorum(draw, seen));
    const failed = results.findIndex(({ outcome }) => outcome !== 'corroborated');
    if (failed >= 0) {
      throw await this.#refuse(
        coordinator,
        draw,
        RefusalCode.REFUSAL_CODE_NO_QUORUM,
        describe(results[failed]!, draw.targets[failed]!),
        findings,
      );
    }

    draws.close(draw);
    const voucher = this.#voucher(draw, findings, results[0]!, time);
    const prepared = this.#parts.voucherSigner.prepare(voucher, new Date(time));
    let signed: Uint8Array;
    try {
      signed = prepared.finish(this.#parts.sign(prepared.toBeSigned));
    } catch (cause) {
      throw await this.#refuse(
        coordinator,
        draw,
        RefusalCode.REFUSAL_CODE_INTERNAL,
        'the HSM did not sign',
        findings,
        cause,
      );
    }
    const problems = this.#parts.lint(signed, voucher);
    if (problems.length > 0) {
      throw await this.#refuse(
        coordinator,
        draw,
        RefusalCode.REFUSAL_CODE_INTERNAL,
        `lint: ${problems.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`,
        findings,
      );
    }
    try {
      const auditSequence = await audit({
        event: 'issued',
        coordinator,
        serial: hex(voucher.serial),
        content: hex(prepared.contentHash),
        nonce: hex(draw.nonce),
        endpoint: draw.endpoint,
        trustContexts: draw.trustContexts,
        evidence: findings.evidence,
        faults: findings.faults,
      });
      return { voucher: signed, auditSequence };
    } catch (cause) {
      throw new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, 'the audit log cannot be written', [], {
        cause,
      });
    }
  }

  #checkSubject({ addresses, port, serverName, startTls, chain }: Subject): void {
    const malformed = (detail: string) => new RefusedError(RefusalCode.REFUSAL_CODE_MALFORMED, detail);
    const lengths = addresses.map(({ length }) => length).join();
    if (!['4', '16', '4,16'].includes(lengths))
      throw malformed('one IPv4 and/or one IPv6 address, in this order');
    if (port < 1 || port > 65_535) throw malformed('port');
    if (serverName.length === 0 || serverName.length > 253) throw malformed('server name');
    if (startTls.length > 16) throw malformed('STARTTLS protocol');
    if (chain.length === 0 || chain.length > 10) throw malformed('1 to 10 certificates');
    for (const address of addresses) {
      const reason = forbiddenTarget(address, this.#parts.allowedTargets);
      if (reason !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET, reason);
    }
  }

  #drawAgents(policy: QuorumPolicy, all: readonly Agent[], key: Uint8Array, nonce: Uint8Array): Agent[] {
    try {
      const drawn = drawPerspectives(policy, all, key, nonce);
      return drawn.map(({ name }) => all.find((agent) => agent.name === name)!);
    } catch (error) {
      if (!(error instanceof CorroborationError)) throw error;
      throw new RefusedError(RefusalCode.REFUSAL_CODE_TOO_FEW_PERSPECTIVES, error.message);
    }
  }

  /** Which observations count, and what they say. The cheap checks come before the signature. */
  #examine(
    draw: OpenDraw,
    agents: ReadonlyMap<string, Agent>,
    observations: readonly SignedObservation[],
    now: number,
  ): Findings {
    const seen = draw.targets.map(() => new Map<string, Seen>());
    const counted = new Map<string, Uint8Array>();
    const faults: Findings['faults'] = [];
    const evidence: string[] = [];
    const expected = {
      nonce: draw.nonce,
      targets: draw.targets,
      agents,
      now,
      clockToleranceMs: this.#parts.clockToleranceMs,
    };
    for (const signed of observations) {
      const checked = checkObservation(signed.observation, expected);
      if ('fault' in checked) {
        faults.push({ agent: checked.agentName ?? '', fault: checked.fault });
        continue;
      }
      const { agent, target, observation } = checked;
      const slot = `${agent.name} ${target}`;
      const before = counted.get(slot);
      if (before && Buffer.compare(before, signed.observation) === 0) continue;
      if (!verifyObservationSignature(signed, agent.publicKey)) {
        faults.push({ agent: agent.name, fault: 'bad-signature' });
        continue;
      }
      if (before) {
        // Two different signed answers to one question: neither is worth anything.
        faults.push({ agent: agent.name, fault: 'equivocation' });
        seen[target]!.set(agent.name, { verdict: 'inconclusive', code: 'equivocation' });
        continue;
      }
      counted.set(slot, signed.observation);
      evidence.push(sha256(signed.observation));
      seen[target]!.set(agent.name, judge(observation, draw.chain, this.#parts.policy.matchIntermediates));
    }
    return { seen, faults, evidence };
  }

  #quorum(draw: OpenDraw, seen: ReadonlyMap<string, Seen>): QuorumResult {
    const verdicts = new Map<string, Verdict>();
    for (const name of draw.agents.keys()) verdicts.set(name, seen.get(name)?.verdict ?? 'inconclusive');
    return evaluateQuorum(this.#parts.policy, [...draw.agents.values()], verdicts);
  }

  #voucher(draw: OpenDraw, { seen }: Findings, result: QuorumResult, now: number): Voucher {
    const { policy } = this.#parts;
    const at = (octets: number) => draw.targets.findIndex(({ address }) => address.length === octets);
    const [ipv4, ipv6] = [at(4), at(16)];
    const producedAt = new Date(Math.floor(now / 1000) * 1000);
    const heard = [...draw.agents.values()].filter(({ name }) => seen.some((one) => one.has(name)));
    const verdict = (target: number, name: string) => seen[target]?.get(name)?.verdict ?? 'inconclusive';
    return {
      serial: this.#parts.random(16),
      ...(ipv4 >= 0 && { ipv4: draw.targets[ipv4]!.address }),
      ...(ipv6 >= 0 && { ipv6: draw.targets[ipv6]!.address }),
      port: draw.targets[0]!.port,
      leaf: digest(draw.chain[0]!),
      intermediates: draw.chain.slice(1).map(digest),
      status: [],
      producedAt,
      notAfter: new Date(producedAt.getTime() + this.#parts.voucherLifetimeSeconds * 1000),
      trustContexts: draw.trustContexts,
      quorum: {
        asked: result.counted.length,
        matches: result.required,
        regions: policy.minRegions,
        networks: policy.minNetworks,
        kilometres: policy.minDistanceKm,
        intermediates: policy.matchIntermediates,
      },
      directoryVersion: draw.registryVersion,
      perspectives: heard.map(
        ({ name, country, rir, asn }): Perspective => ({
          country,
          rir,
          asn,
          ...(ipv4 >= 0 && { ipv4: verdict(ipv4, name) }),
          ...(ipv6 >= 0 && { ipv6: verdict(ipv6, name) }),
        }),
      ),
    };
  }

  /** Refusals of evidence are on record too: they are how a captured coordinator shows. */
  async #refuse(
    coordinator: string,
    draw: OpenDraw,
    code: RefusalCode,
    detail: string,
    findings?: Findings,
    cause?: unknown,
  ): Promise<RefusedError> {
    const faults = findings?.faults ?? [];
    const refused = new RefusedError(code, detail, faults, { cause });
    try {
      await this.#parts.audit({
        event: 'refused',
        coordinator,
        code: refusalName(code),
        detail,
        nonce: hex(draw.nonce),
        endpoint: draw.endpoint,
        evidence: findings?.evidence ?? [],
        faults,
      });
    } catch {
      // It is a refusal all the same; the log has reported its trouble.
    }
    return refused;
  }
}

export const refusalName = (code: RefusalCode): string =>
  (Object.entries(RefusalCode).find(([, value]) => value === code)?.[0] ?? 'unknown')
    .replace('REFUSAL_CODE_', '')
    .toLowerCase()
    .replaceAll('_', '-');

function describe(result: QuorumResult, target: Target): string {
  return (
    `${formatAddress(target.address)}: ${result.matches} of ${result.counted.length} perspectives match, in ` +
    `${result.regions} RIR regions and ${result.networks} networks; ${result.required} matches are required ` +
    `(${result.mismatches} mismatch, ${result.inconclusive} inconclusive)`
  );
}

const digest = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
