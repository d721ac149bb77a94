/** One chain at one endpoint, from the draw to the voucher. */
import { createHash } from 'node:crypto';
import {
  type Agent,
  type Judgement,
  type Outcome,
  type QuorumPolicy,
  type Registry,
  checkObservation,
  evaluateQuorum,
  judge,
  verifyObservationSignature,
} from '@mecai/corroboration';
import type { Decision, SignedObservation } from '@mecai/proto';
import { type Drawn, type Issued, RefusalCode, type Refused, type Subject } from '@mecai/proto/signer';
import type { ChainResult, ChainStatus, PerspectiveOutcome, RefusalReason } from '@mecai/voucher';
import type { CoordinatorConfig } from './config.ts';
import type { Perspectives } from './perspectives.ts';
import type { Records } from './records.ts';
import type { SignerClient } from './signer-client.ts';

export interface DecideParts {
  readonly name: string;
  readonly signer: Pick<SignerClient, 'draw' | 'issue'>;
  readonly perspectives: Perspectives;
  readonly records: Records;
  readonly registry: Registry;
  readonly policy: QuorumPolicy;
  readonly probe: CoordinatorConfig['probe'];
  readonly now: () => number;
}

export interface Question {
  readonly subject: Subject;
  readonly requester: Uint8Array;
  readonly authenticated: boolean;
}

/** @throws CoordinatorError */
export async function decide(parts: DecideParts, question: Question): Promise<ChainResult> {
  const { subject } = question;
  const leaf = sha256(subject.chain[0]!);
  const drawn = await parts.signer.draw(subject);
  if ('refused' in drawn) return { leaf, perspectives: [], ...refusal(drawn.refused) };
  const inquiry = new Inquiry(parts, question, drawn);
  try {
    return { leaf, ...(await inquiry.result()) };
  } finally {
    inquiry.letGo();
  }
}

/** What becomes of a refusal by the signer. */
function refusal({ code, detail }: Refused): {
  status: ChainStatus;
  reason?: RefusalReason;
  detail: string;
  retryAfter?: number;
} {
  const reasons: Partial<Record<RefusalCode, RefusalReason>> = {
    [RefusalCode.REFUSAL_CODE_OWN_CA]: 'own-ca',
    [RefusalCode.REFUSAL_CODE_DISTRUSTED]: 'distrusted',
    [RefusalCode.REFUSAL_CODE_UNTRUSTED]: 'untrusted',
    [RefusalCode.REFUSAL_CODE_REVOKED]: 'revoked',
    [RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET]: 'forbidden-target',
    [RefusalCode.REFUSAL_CODE_MALFORMED]: 'malformed',
    [RefusalCode.REFUSAL_CODE_DRAW_LIMIT]: 'rate-limited',
  };
  const reason = reasons[code];
  if (!reason) return { status: 'inconclusive', detail: `signer: ${detail}`, retryAfter: 60 };
  return { status: 'refused', reason, detail, ...(reason === 'rate-limited' && { retryAfter: 60 }) };
}

class Inquiry {
  readonly #parts: DecideParts;
  readonly #question: Question;
  readonly #drawn: Drawn;
  readonly #agents: ReadonlyMap<string, Agent>;
  /** By target, then by agent. */
  readonly #seen: readonly Map<string, Judgement>[];
  readonly #evidence: SignedObservation[] = [];
  readonly #answered = new Set<string>();
  readonly #stop: () => void;
  #changed = Promise.withResolvers<void>();
  #grace: NodeJS.Timeout | undefined;

  constructor(parts: DecideParts, question: Question, drawn: Drawn) {
    this.#parts = parts;
    this.#question = question;
    this.#drawn = drawn;
    this.#agents = new Map(
      drawn.agents.flatMap((name) => {
        const agent = parts.registry.agents.get(name);
        return agent ? [[name, agent]] : [];
      }),
    );
    this.#seen = drawn.targets.map(() => new Map());
    for (const name of drawn.agents) {
      if (parts.perspectives.silentMs(name) > parts.probe.absentAfterMs) this.#giveUp(name, 'agent-absent');
    }
    this.#stop = parts.perspectives.ask(
      drawn.nonce,
      drawn.targets,
      drawn.agents,
      parts.probe.timeoutMs,
      (agent, evidence) => this.#hear(agent, evidence),
    );
  }

  async result(): Promise<Omit<ChainResult, 'leaf'>> {
    const { timeoutMs, transitMs } = this.#parts.probe;
    const deadline = setTimeout(() => {
      for (const name of this.#drawn.agents) this.#giveUp(name, 'no-answer');
      this.#wake();
    }, timeoutMs + transitMs);
    try {
      for (;;) {
        const outcome = this.#outcome();
        if (outcome === 'pending') await this.#changed.promise;
        else if (outcome !== 'corroborated') return this.#record({ status: outcome, detail: this.#words() });
        else {
          const answer = await this.#parts.signer.issue(this.#drawn.nonce, this.#evidence);
          if (!('refused' in answer)) return await this.#record({ status: 'issued' }, answer);
          // Observations that the signer does not accept are worth nothing; others may still come.
          for (const { agent } of answer.refused.faults) this.#strike(agent);
          if (
            answer.refused.code !== RefusalCode.REFUSAL_CODE_NO_QUORUM ||
            this.#outcome() === 'corroborated'
          ) {
            return this.#record(refusal(answer.refused));
          }
        }
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  /** The decision is made; stragglers may still show a mismatch. */
  letGo(): void {
    if (this.#answered.size === this.#drawn.agents.length * this.#drawn.targets.length) this.#stop();
    else this.#grace = setTimeout(this.#stop, this.#parts.probe.graceMs).unref();
  }

  #hear(sender: string, evidence: SignedObservation): void {
    const checked = checkObservation(evidence.observation, {
      nonce: this.#drawn.nonce,
      targets: this.#drawn.targets,
      agents: this.#agents,
      // Whether an agent's clock is right is for the signer to say.
      now: 0,
      clockToleranceMs: Number.POSITIVE_INFINITY,
    });
    if ('fault' in checked || checked.agent.name !== sender) return;
    const { observation, target, agent } = checked;
    const slot = `${sender} ${target}`;
    // The first answer counts; a retry or a second thought does not.
    if (this.#answered.has(slot)) return;
    this.#answered.add(slot);
    const judgement = judge(observation, this.#question.subject.chain, this.#parts.policy.matchIntermediates);
    if (judgement.verdict === 'mismatch' && verifyObservationSignature(evidence, agent.publicKey)) {
      this.#parts.records.later({
        mismatch: {
          nonce: this.#drawn.nonce,
          seenAt: this.#parts.now(),
          coordinator: this.#parts.name,
          agent: sender,
          target: this.#drawn.targets[target],
          expected: this.#question.subject.chain.map(sha256),
          observed: observation.chain.map(sha256),
          evidence,
        },
      });
    }
    const known = this.#seen[target]!.get(sender);
    if (known?.code === 'agent-absent' && !this.#grace) this.#seen[target]!.delete(sender);
    if (this.#seen[target]!.has(sender)) return;
    this.#seen[target]!.set(sender, judgement);
    this.#evidence.push(evidence);
    this.#wake();
    if (this.#grace && this.#answered.size === this.#drawn.agents.length * this.#drawn.targets.length) {
      clearTimeout(this.#grace);
      this.#stop();
    }
  }

  #outcome(): Outcome {
    const asked = this.#drawn.agents.flatMap((name) => this.#agents.get(name) ?? []);
    const outcomes = this.#seen.map((seen) => {
      const verdicts = new Map(Array.from(seen, ([name, { verdict }]) => [name, verdict]));
      return evaluateQuorum(this.#parts.policy, asked, verdicts).outcome;
    });
    // Two addresses: both have to be corroborated, and one that is not decides.
    return (
      (['mismatch', 'inconclusive', 'pending'] as const).find((one) => outcomes.includes(one)) ??
      'corroborated'
    );
  }

  #giveUp(name: string, code: string): void {
    for (const seen of this.#seen) if (!seen.has(name)) seen.set(name, { verdict: 'inconclusive', code });
  }

  #strike(name: string): void {
    for (const seen of this.#seen)
      if (seen.has(name)) seen.set(name, { verdict: 'inconclusive', code: 'bad-evidence' });
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #record(
    result: Pick<ChainResult, 'status' | 'reason' | 'detail' | 'retryAfter'>,
    issued?: Issued,
  ): Promise<Omit<ChainResult, 'leaf'>> {
    const { subject, requester, authenticated } = this.#question;
    const decision: Decision = {
      nonce: this.#drawn.nonce,
      decidedAt: this.#parts.now(),
      coordinator: this.#parts.name,
      targets: this.#drawn.targets,
      chain: subject.chain.map(sha256),
      status: result.status,
      reason: result.reason ?? '',
      detail: result.detail ?? '',
      perspectives: this.#drawn.targets.flatMap((target, i) =>
        this.#drawn.agents.map((agent) => {
          const judgement = this.#seen[i]!.get(agent);
          return {
            agent,
            address: target.address,
            verdict: judgement?.verdict ?? 'pending',
            code: judgement?.code ?? '',
          };
        }),
      ),
      voucher: issued?.voucher ?? new Uint8Array(),
      requester,
      authenticated,
      auditSequence: issued?.auditSequence ?? 0,
    };
    const perspectives = this.#perspectives();
    if (!issued) {
      this.#parts.records.later({ decision });
      return { ...result, perspectives };
    }
    await this.#parts.records.decision(decision);
    return { ...result, voucher: issued.voucher, perspectives };
  }

  #perspectives(): PerspectiveOutcome[] {
    const at = (octets: number) => this.#drawn.targets.findIndex(({ address }) => address.length === octets);
    const [ipv4, ipv6] = [at(4), at(16)];
    const outcome = (target: number, name: string) => {
      const { verdict, code } = this.#seen[target]!.get(name) ?? { verdict: 'pending' as const };
      return { verdict, ...(code !== undefined && { code }) };
    };
    return [...this.#agents.values()].map(({ name, country, rir, asn }) => ({
      country,
      rir,
      asn,
      ...(ipv4 >= 0 && { ipv4: outcome(ipv4, name) }),
      ...(ipv6 >= 0 && { ipv6: outcome(ipv6, name) }),
    }));
  }

  #words(): string {
    const count = (wanted: Judgement['verdict']) =>
      this.#drawn.agents.filter((name) => this.#seen.some((seen) => seen.get(name)?.verdict === wanted))
        .length;
    return (
      `of ${this.#drawn.agents.length} perspectives ${count('match')} saw this chain, ` +
      `${count('mismatch')} another, ${count('inconclusive')} none`
    );
  }
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
