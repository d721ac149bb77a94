import { formatAddress, sameBytes } from '@mecai/addresses';
import {
  type Agent,
  type EvidenceFault,
  type Judgement,
  type Judgements,
  type QuorumPolicy,
  type QuorumResult,
  checkObservation,
  evaluateQuorum,
  judge,
  verifyObservationSignature,
} from '@mecai/corroboration';
import { type HandshakeScts, ocspSctLists } from '@mecai/pki';
import type { SignedObservation } from '@mecai/proto';
import { sha256Hex } from './digest.ts';
import type { OpenDraw } from './draws.ts';

export interface Findings {
  /** By target, then by agent; an agent is missing where nothing of it counts. */
  readonly seen: Judgements;
  readonly faults: readonly { readonly agent: string; readonly fault: EvidenceFault | 'equivocation' }[];
  /** OCSP responses that the server stapled for the leaf, each once. */
  readonly stapled: readonly Uint8Array[];
  /** SCT lists of the TLS extension, and those in stapled responses, each once; read when asked for. */
  readonly scts: () => HandshakeScts;
  /** When each agent says it looked, milliseconds since 1970: signed, and whether its clock is right or not. */
  readonly times: ReadonlyMap<string, number>;
  /** SHA-256, hex, of each observation that one of the agents drawn has signed. */
  readonly evidence: readonly string[];
}

export interface EvidenceRules {
  readonly policy: QuorumPolicy;
  /** How far an agent's clock may be off, milliseconds. */
  readonly clockToleranceMs: number;
}

/** Different stapled responses, and SCT lists, that are looked at for one voucher. */
const maxSent = 4;

/** An agent may answer for every target, and twice, since retries happen. */
export const maxObservations = (draw: OpenDraw): number => 2 * draw.agents.size * draw.targets.length;

/**
 * Which observations count, and what they say. The cheap checks come before the signature.
 *
 * @param registered the agents of today; one that was struck off, or has a new key, since the draw counts no more
 * @param observations at most `maxObservations`
 * @param now milliseconds since 1970
 */
export function examine(
  draw: OpenDraw,
  registered: ReadonlyMap<string, Agent>,
  observations: readonly SignedObservation[],
  { policy, clockToleranceMs }: EvidenceRules,
  now: number,
): Findings {
  const agents = new Map(
    [...draw.agents].filter(([name, agent]) => registered.get(name)?.keyId === agent.keyId),
  );
  const seen = draw.targets.map(() => new Map<string, Judgement>());
  const counted = new Map<string, Uint8Array[]>();
  const faults: { agent: string; fault: EvidenceFault | 'equivocation' }[] = [];
  const evidence: string[] = [];
  const stapled = new Map<string, Uint8Array>();
  const sctLists = new Map<string, Uint8Array>();
  const times = new Map<string, number>();
  // Whose clock is wrong, the agent's or this one, is to be judged by all of them.
  const anyTime = Number.POSITIVE_INFINITY;
  const expected = { nonce: draw.nonce, targets: draw.targets, agents, now, clockToleranceMs: anyTime };
  for (const signed of observations) {
    const checked = checkObservation(signed.observation, expected);
    if ('fault' in checked) {
      faults.push({ agent: checked.agentName ?? '', fault: checked.fault });
      continue;
    }
    const { agent, target, observation } = checked;
    const slot = `${agent.name} ${target}`;
    const before = counted.get(slot) ?? [];
    if (before.some((one) => sameBytes(one, signed.observation))) continue;
    if (!verifyObservationSignature(signed, agent.publicKey)) {
      faults.push({ agent: agent.name, fault: 'bad-signature' });
      continue;
    }
    times.set(agent.name, observation.observedAt);
    if (Math.abs(observation.observedAt - now) > clockToleranceMs) {
      faults.push({ agent: agent.name, fault: 'clock' });
      continue;
    }
    evidence.push(sha256Hex(signed.observation));
    counted.set(slot, [...before, signed.observation]);
    if (before.length > 0) {
      // Two different signed answers to one question: neither is worth anything.
      faults.push({ agent: agent.name, fault: 'equivocation' });
      seen[target]!.set(agent.name, { verdict: 'inconclusive' });
      continue;
    }
    const judgement = judge(observation, draw.chain, policy.matchIntermediates);
    seen[target]!.set(agent.name, judgement);
    if (judgement.verdict !== 'match') continue;
    const response = observation.ocsp.find(({ certificate }) => certificate === 0)?.response;
    if (response) stapled.set(sha256Hex(response), response);
    for (const list of observation.sctLists) sctLists.set(sha256Hex(list), list);
  }
  const responses = [...stapled.values()].slice(0, maxSent);
  const tls = [...sctLists.values()].slice(0, maxSent);
  const scts = () => ({ tls, ocsp: responses.flatMap(ocspSctLists) });
  return { seen, faults, stapled: responses, scts, times, evidence };
}

/** The quorum over all targets at once, after what was heard. */
export const quorumOf = (draw: OpenDraw, { seen }: Findings, policy: QuorumPolicy): QuorumResult =>
  evaluateQuorum(policy, [...draw.agents.values()], seen);

export function describeQuorum(draw: OpenDraw, result: QuorumResult): string {
  return (
    `${draw.targets.map(({ address }) => formatAddress(address)).join(' and ')}: ${result.matches} of ` +
    `${result.counted.length} perspectives match, in ${result.regions} RIR regions and ${result.networks} ` +
    `networks; ${result.required} matches are required (${result.mismatches} mismatch, ` +
    `${result.inconclusive} inconclusive, ${result.pending} not heard)`
  );
}
