/** What the perspectives drawn for one question have said so far. No clock, no network. */
import {
  type Agent,
  type EvidenceFault,
  type Judgement,
  type Outcome,
  type Perspective,
  type QuorumPolicy,
  type QuorumResult,
  type Judgements,
  type Registry,
  checkObservation,
  judge,
  quorumAmong,
  rirs,
  verifyObservationSignature,
} from '@mecai/corroboration';
import { type HandshakeScts, ocspSctLists } from '@mecai/pki';
import type { Observation, SignedObservation } from '@mecai/proto';
import type { Drawn } from '@mecai/proto/signer';
import type { PerspectiveOutcome } from '@mecai/voucher';

export interface Heard {
  readonly observation: Observation;
  /** Index into the targets drawn. */
  readonly target: number;
  readonly judgement: Judgement;
}

export class Answers {
  readonly #drawn: Drawn;
  readonly #chain: readonly Uint8Array[];
  readonly #policy: QuorumPolicy;
  readonly #agents: ReadonlyMap<string, Agent>;
  readonly #asked: readonly Perspective[];
  readonly #quorum: (judgements: Judgements) => QuorumResult;
  /** By target, then by agent. */
  readonly #seen: readonly Map<string, Judgement>[];
  readonly #evidence = new Map<string, SignedObservation>();
  readonly #answered = new Set<string>();
  readonly #matching: Observation[] = [];
  #closed = false;

  constructor(drawn: Drawn, chain: readonly Uint8Array[], registry: Registry, policy: QuorumPolicy) {
    this.#drawn = drawn;
    this.#chain = chain;
    this.#policy = policy;
    this.#agents = new Map(
      drawn.agents.flatMap((name) => {
        const agent = registry.agents.get(name);
        return agent ? [[name, agent]] : [];
      }),
    );
    this.#asked = drawn.agents.map((name) => this.#agents.get(name) ?? unregistered(name));
    this.#quorum = quorumAmong(policy, this.#asked);
    this.#seen = drawn.targets.map(() => new Map());
    for (const name of this.unregistered) this.giveUp(name, 'not-in-registry');
  }

  /** Drawn by the signer, but not in this coordinator's registry: their answers cannot be read. */
  get unregistered(): readonly string[] {
    return this.#drawn.agents.filter((name) => !this.#agents.has(name));
  }

  /** Nobody is left who could still say something. */
  get complete(): boolean {
    return this.#answered.size === this.#agents.size * this.#seen.length;
  }

  /** Those in the registry that still owe an answer about a target. */
  get missing(): readonly string[] {
    return [...this.#agents.keys()].filter((name) =>
      this.#seen.some((_, target) => !this.#answered.has(`${name} ${target}`)),
    );
  }

  get evidence(): readonly SignedObservation[] {
    return [...this.#evidence.values()];
  }

  /**
   * Takes one answer in. The first of an agent about a target counts; a retry or a second thought does not.
   *
   * @returns undefined for what is no answer to this question
   */
  add(sender: string, evidence: SignedObservation): Heard | undefined {
    const checked = checkObservation(evidence.observation, {
      nonce: this.#drawn.nonce,
      targets: this.#drawn.targets,
      agents: this.#agents,
      // Whether an agent's clock is right is for the signer to say.
      now: 0,
      clockToleranceMs: Number.POSITIVE_INFINITY,
    });
    if ('fault' in checked || checked.agent.name !== sender) return undefined;
    const { observation, target, agent } = checked;
    const slot = `${sender} ${target}`;
    if (this.#answered.has(slot)) return undefined;
    this.#answered.add(slot);
    const judgement = this.#judge(observation, evidence, agent);
    const seen = this.#seen[target]!;
    // An agent that was given up too early may still be counted, but nothing changes after the decision.
    if (!this.#closed && (seen.get(sender)?.code ?? absent) === absent) {
      seen.set(sender, judgement);
      this.#evidence.set(slot, evidence);
      if (judgement.verdict === 'match') this.#matching.push(observation);
    }
    return { observation, target, judgement };
  }

  /** Matches are the signer's to verify; an alarm must not come from a forged message. */
  #judge(observation: Observation, evidence: SignedObservation, agent: Agent): Judgement {
    const judgement = judge(observation, this.#chain, this.#policy.matchIntermediates);
    if (judgement.verdict === 'mismatch' && !verifyObservationSignature(evidence, agent.publicKey)) {
      return { verdict: 'inconclusive', code: 'bad-signature' };
    }
    return judgement;
  }

  /** No answer is expected from this agent any more. */
  giveUp(name: string, code: string): void {
    for (const seen of this.#seen) if (!seen.has(name)) seen.set(name, { verdict: 'inconclusive', code });
  }

  giveUpRest(code: string): void {
    for (const name of this.#drawn.agents) this.giveUp(name, code);
  }

  /** The signer does not accept what these agents sent. */
  strike(faults: readonly { readonly agent: string; readonly fault: string }[]): void {
    for (const { agent, fault } of faults) {
      this.#seen.forEach((seen, target) => {
        if (!this.#evidence.delete(`${agent} ${target}`)) return;
        seen.set(agent, {
          verdict: 'inconclusive',
          code: (evidenceFaults as readonly string[]).includes(fault) ? fault : 'bad-evidence',
        });
      });
    }
  }

  /** Matches whose signature does not hold: here they are verified where the signer is not asked. */
  forged(): { agent: string; fault: EvidenceFault }[] {
    return Array.from(this.#evidence).flatMap(([slot, evidence]) => {
      const agent = slot.slice(0, slot.lastIndexOf(' '));
      const { publicKey } = this.#agents.get(agent)!;
      return verifyObservationSignature(evidence, publicKey) ? [] : [{ agent, fault: 'bad-signature' }];
    });
  }

  /** What the server sent with this chain, each once. Not verified: logs sign SCTs, whoever brings them. */
  scts(): HandshakeScts {
    const stapled = this.#matching.flatMap(({ ocsp }) => ocsp.filter(({ certificate }) => certificate === 0));
    return {
      tls: distinct(this.#matching.flatMap(({ sctLists }) => sctLists)),
      ocsp: distinct(stapled.map(({ response }) => response)).flatMap(ocspSctLists),
    };
  }

  /** The decision is made: what is said from now on changes no verdict. */
  close(): void {
    this.#closed = true;
  }

  /** The same rule as the signer's. */
  outcome(): Outcome {
    return this.#quorum(this.#seen).outcome;
  }

  /** Whether it comes out well if all the others see the chain as well. */
  get mayCorroborate(): boolean {
    const best = this.#seen.map(
      (seen) => new Map(this.#drawn.agents.map((name) => [name, seen.get(name) ?? match])),
    );
    return this.#quorum(best).outcome === 'corroborated';
  }

  /** Of one agent about one target; pending where nothing was heard. */
  judgement(agent: string, target: number): { verdict: PerspectiveVerdict; code?: string } {
    return this.#seen[target]!.get(agent) ?? { verdict: 'pending' };
  }

  /** For the requester. Agents whose place this coordinator does not know are left out. */
  perspectives(): PerspectiveOutcome[] {
    const at = (octets: number) => this.#drawn.targets.findIndex(({ address }) => address.length === octets);
    const [ipv4, ipv6] = [at(4), at(16)];
    return Array.from(this.#agents.values(), ({ name, country, rir, asn }) => ({
      country,
      rir,
      asn,
      ...(ipv4 >= 0 && { ipv4: this.judgement(name, ipv4) }),
      ...(ipv6 >= 0 && { ipv6: this.judgement(name, ipv6) }),
    }));
  }

  /** `of 6 perspectives 2 saw this chain, 3 another, 1 none (timeout-connect)`, by target if there are two. */
  words(): string {
    const lines = this.#seen.map((seen, target) => {
      const judgements = [...seen.values()];
      const count = (wanted: Judgement['verdict']) =>
        judgements.filter(({ verdict }) => verdict === wanted).length;
      const codes = new Set(judgements.flatMap(({ code }) => code ?? []));
      const asked = this.#asked.length;
      let line = `of ${asked} perspectives ${count('match')} saw this chain, ${count('mismatch')} another, `;
      line += `${count('inconclusive')} none`;
      if (codes.size > 0) line += ` (${[...codes].join(', ')})`;
      if (asked > seen.size) line += `, ${asked - seen.size} had not answered yet`;
      if (this.#seen.length === 1) return line;
      return `${this.#drawn.targets[target]!.address.length === 4 ? 'IPv4' : 'IPv6'}: ${line}`;
    });
    return lines.join('; ');
  }
}

const match: Judgement = { verdict: 'match' };
/** Different SCT lists, and stapled responses, that are looked at. */
const maxSent = 4;

const distinct = (all: readonly Uint8Array[]): Uint8Array[] =>
  [...new Map(all.map((one) => [Buffer.from(one).toString('latin1'), one])).values()].slice(0, maxSent);

type PerspectiveVerdict = Judgement['verdict'] | 'pending';

/** Code of an agent from which no sign of life came: the only one that a real answer replaces. */
export const absent = 'agent-absent';

const evidenceFaults: readonly (EvidenceFault | 'equivocation')[] = [
  'malformed',
  'not-asked',
  'other-task',
  'other-target',
  'clock',
  'bad-signature',
  'duplicate',
  'equivocation',
];

/**
 * Stands for a perspective that only the signer knows. It never matches, so that its region counts only among
 * those that could have; coordinates that are no number are near nothing.
 */
const unregistered = (name: string): Perspective => ({
  name,
  keyId: name,
  country: '',
  rir: rirs[0],
  asn: 0,
  latitude: Number.NaN,
  longitude: Number.NaN,
});
