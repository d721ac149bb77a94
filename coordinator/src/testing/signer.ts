/** A signer for tests: draws everyone, checks evidence as the real one does, and signs nothing. */
import { randomBytes } from 'node:crypto';
import {
  type Judgement,
  type QuorumPolicy,
  type Registry,
  checkObservation,
  defaultQuorumPolicy,
  evaluateQuorum,
  judge,
  verifyObservationSignature,
} from '@mecai/corroboration';
import { KeyType, type SignedObservation } from '@mecai/proto';
import { type Drawn, type Issued, RefusalCode, type Refused, type Subject } from '@mecai/proto/signer';

export class TestSigner {
  readonly #registry: Registry;
  readonly policy: QuorumPolicy;
  readonly draws: { readonly subject: Subject; readonly drawn: Drawn }[] = [];
  readonly evidence: (readonly SignedObservation[])[] = [];
  issued = 0;
  /** Whom to draw; everyone in the registry by default. */
  drawn: readonly string[] | undefined;
  /** Of every draw. */
  links: Drawn['links'] = [];
  readonly supplied: { readonly nonce: Uint8Array; readonly link: number; readonly der: Uint8Array }[] = [];
  /** Instead of a draw. */
  refuseDraw: Refused | undefined;
  /** Instead of the next judgements of evidence, in order. */
  readonly refuseEvidence: Refused[] = [];

  constructor(registry: Registry, policy: QuorumPolicy = defaultQuorumPolicy) {
    this.#registry = registry;
    this.policy = policy;
  }

  async draw(subject: Subject): Promise<Drawn | { readonly refused: Refused }> {
    if (this.refuseDraw) return { refused: this.refuseDraw };
    const drawn: Drawn = {
      nonce: randomBytes(32),
      agents: [...(this.drawn ?? this.#registry.agents.keys())],
      expiresAt: Date.now() + 30_000,
      trustContexts: [],
      links: this.links,
      targets: subject.addresses.map((address) => ({
        address,
        port: subject.port,
        serverName: subject.serverName,
        startTls: subject.startTls,
        keyType: KeyType.KEY_TYPE_ECDSA,
      })),
    };
    this.draws.push({ subject, drawn });
    return drawn;
  }

  async issue(
    nonce: Uint8Array,
    observations: readonly SignedObservation[],
  ): Promise<Issued | { readonly refused: Refused }> {
    this.evidence.push(observations);
    const scripted = this.refuseEvidence.shift();
    if (scripted) return { refused: scripted };
    const draw = this.draws.find(({ drawn }) => Buffer.compare(drawn.nonce, nonce) === 0);
    if (!draw) return refused(RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW, 'no such draw is open');
    const { drawn, subject } = draw;
    const agents = new Map(
      drawn.agents.flatMap((name) => {
        const agent = this.#registry.agents.get(name);
        return agent ? [[name, agent]] : [];
      }),
    );
    const faults: Refused['faults'] = [];
    const seen = drawn.targets.map(() => new Map<string, Judgement>());
    for (const signed of observations) {
      const checked = checkObservation(signed.observation, {
        nonce,
        targets: drawn.targets,
        agents,
        now: Date.now(),
        clockToleranceMs: 60_000,
      });
      if ('fault' in checked) faults.push({ agent: checked.agentName ?? '', fault: checked.fault });
      else if (!verifyObservationSignature(signed, checked.agent.publicKey)) {
        faults.push({ agent: checked.agent.name, fault: 'bad-signature' });
      } else {
        const judgement = judge(checked.observation, subject.chain, this.policy.matchIntermediates);
        seen[checked.target]!.set(checked.agent.name, judgement);
      }
    }
    const { outcome } = evaluateQuorum(this.policy, [...agents.values()], seen);
    if (outcome !== 'corroborated') return refused(RefusalCode.REFUSAL_CODE_NO_QUORUM, 'no quorum', faults);
    return {
      voucher: Uint8Array.of(0x30, 0x01, this.issued),
      auditSequence: ++this.issued,
      trustContexts: [],
    };
  }
}

export const refused = (
  code: RefusalCode,
  detail: string,
  faults: Refused['faults'] = [],
): { readonly refused: Refused } => ({ refused: { code, detail, faults } });
