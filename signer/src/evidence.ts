import { formatAddress, sameBytes } from '@mecai/addresses';
import {
  type Agent,
  type EvidenceFault,
  type QuorumPolicy,
  type QuorumResult,
  type Verdict,
  checkObservation,
  evaluateQuorum,
  judge,
  verifyObservationSignature,
} from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import { sha256Hex } from './digest.ts';
import type { OpenDraw } from './draws.ts';

export interface Findings {
  /** By target, then by agent; an agent is missing where nothing of it counts. */
  readonly seen: readonly ReadonlyMap<string, Verdict>[];
  readonly faults: readonly { readonly agent: string; readonly fault: EvidenceFault | 'equivocation' }[];
  /** OCSP responses that the server stapled for the leaf, each once. */
  readonly stapled: readonly Uint8Array[];
  /** SHA-256, hex, of each observation that one of the agents drawn has signed. */
  readonly evidence: readonly string[];
}

export interface EvidenceRules {
  readonly policy: QuorumPolicy;
  /** How far an agent's clock may be off, milliseconds. */
  readonly clockToleranceMs: number;
}

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
  const seen = draw.targets.map(() => new Map<string, Verdict>());
  const counted = new Map<string, Uint8Array[]>();
  const faults: { agent: string; fault: EvidenceFault | 'equivocation' }[] = [];
  const evidence: string[] = [];
  const stapled = new Map<string, Uint8Array>();
  const expected = { nonce: draw.nonce, targets: draw.targets, agents, now, clockToleranceMs };
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
    evidence.push(sha256Hex(signed.observation));
    counted.set(slot, [...before, signed.observation]);
    if (before.length > 0) {
      // Two different signed answers to one question: neither is worth anything.
      faults.push({ agent: agent.name, fault: 'equivocation' });
      seen[target]!.set(agent.name, 'inconclusive');
      continue;
    }
    const { verdict } = judge(observation, draw.chain, policy.matchIntermediates);
    seen[target]!.set(agent.name, verdict);
    if (verdict !== 'match') continue;
    const response = observation.ocsp.find(({ certificate }) => certificate === 0)?.response;
    if (response) stapled.set(sha256Hex(response), response);
  }
  return { seen, faults, stapled: [...stapled.values()], evidence };
}

/**
 * The quorum over all targets at once: a perspective matches when it saw the chain at every address, since that is
 * how a voucher for two addresses is read. Whoever is not heard is inconclusive, so nothing stays pending.
 */
export function quorumOf(draw: OpenDraw, { seen }: Findings, policy: QuorumPolicy): QuorumResult {
  const verdicts = new Map<string, Verdict>();
  for (const name of draw.agents.keys()) {
    const each = seen.map((target) => target.get(name) ?? 'inconclusive');
    const worst = (['mismatch', 'inconclusive'] as const).find((verdict) => each.includes(verdict));
    verdicts.set(name, worst ?? 'match');
  }
  return evaluateQuorum(policy, [...draw.agents.values()], verdicts);
}

export function describeQuorum(draw: OpenDraw, result: QuorumResult): string {
  return (
    `${draw.targets.map(({ address }) => formatAddress(address)).join(' and ')}: ${result.matches} of ` +
    `${result.counted.length} perspectives match, in ${result.regions} RIR regions and ${result.networks} ` +
    `networks; ${result.required} matches are required (${result.mismatches} mismatch, ` +
    `${result.inconclusive} inconclusive)`
  );
}
