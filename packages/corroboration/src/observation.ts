import { type KeyObject, createPrivateKey, sign, verify } from 'node:crypto';
import { sameBytes } from '@mecai/addresses';
import { KeyType, Observation, SignedObservation, Target, encoded } from '@mecai/proto';
import { failureClassOf } from './failure-class.ts';
import type { Judgement } from './quorum.ts';
import type { Agent } from './registry.ts';

// Keeps an observation's signature from being one of anything else.
const domain = Buffer.from('MECAI-observation-v1\0', 'latin1');
const signed = (observation: Uint8Array) => Buffer.concat([domain, observation]);

/** ECDSA P-256 with SHA-256, DER, over the domain separator and the exact bytes that travel. */
export function signObservation(observation: Observation, key: KeyObject): SignedObservation {
  const bytes = encoded(Observation, observation);
  return { observation: bytes, signature: sign('sha256', signed(bytes), key) };
}

export function verifyObservationSignature(evidence: SignedObservation, key: KeyObject): boolean {
  // 72 octets hold any DER signature of P-256.
  return (
    evidence.signature.length <= 72 && verify('sha256', signed(evidence.observation), key, evidence.signature)
  );
}

/** What an observation has to be about to count. */
export interface Expectation {
  readonly nonce: Uint8Array;
  readonly targets: readonly Target[];
  /** Agents asked, by name. */
  readonly agents: ReadonlyMap<string, Agent>;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** How far an agent's clock may be off, milliseconds. */
  readonly clockToleranceMs: number;
}

export type EvidenceFault =
  | 'malformed'
  | 'not-asked'
  | 'other-task'
  | 'other-target'
  | 'clock'
  | 'bad-signature'
  | 'duplicate';

export type CheckedEvidence =
  | { readonly observation: Observation; readonly agent: Agent; readonly target: number }
  | { readonly fault: EvidenceFault; readonly agentName?: string };

/** Everything about one observation but its signature; cheap enough to run on what anyone sends. */
export function checkObservation(bytes: Uint8Array, expected: Expectation): CheckedEvidence {
  let observation: Observation;
  try {
    observation = Observation.decode(bytes);
  } catch {
    return { fault: 'malformed' };
  }
  const agentName = observation.agent;
  const agent = expected.agents.get(agentName);
  if (!agent) return { fault: 'not-asked' };
  if (!sameBytes(observation.nonce, expected.nonce)) return { fault: 'other-task', agentName };
  const { target } = observation;
  const index = target ? expected.targets.findIndex((candidate) => sameTarget(candidate, target)) : -1;
  if (index < 0) return { fault: 'other-target', agentName };
  if (Math.abs(observation.observedAt - expected.now) > expected.clockToleranceMs) {
    return { fault: 'clock', agentName };
  }
  return { observation, agent, target: index };
}

export const sameTarget = (a: Target, b: Target): boolean =>
  sameBytes(a.address, b.address) &&
  a.port === b.port &&
  a.serverName === b.serverName &&
  a.startTls === b.startTls &&
  a.keyType === b.keyType;

/** The agent reports facts; the verdict is made here, by coordinator and signer alike. */
export function judge(
  observation: Observation,
  chain: readonly Uint8Array[],
  matchIntermediates: boolean,
): Judgement {
  if (!observation.possessionProven || observation.chain.length === 0) {
    const { failure } = observation;
    return { verdict: 'inconclusive', code: failure ? failureClassOf(failure) : 'no-possession' };
  }
  const seen = matchIntermediates ? observation.chain : observation.chain.slice(0, 1);
  const wanted = matchIntermediates ? chain : chain.slice(0, 1);
  const same = seen.length === wanted.length && seen.every((der, i) => sameBytes(der, wanted[i]!));
  return { verdict: same ? 'match' : 'mismatch' };
}

/** Probes are restricted to the kind of key asked about, so that a server with two certificates shows that one. */
export function keyTypeOf(publicKey: KeyObject): KeyType {
  if (publicKey.asymmetricKeyType === 'rsa' || publicKey.asymmetricKeyType === 'rsa-pss')
    return KeyType.KEY_TYPE_RSA;
  if (publicKey.asymmetricKeyType === 'ec') return KeyType.KEY_TYPE_ECDSA;
  return KeyType.KEY_TYPE_UNSPECIFIED;
}

/** An agent's signing key, PKCS #8 PEM, P-256. */
export function loadObservationKey(pem: string): KeyObject {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new TypeError('observation keys are P-256');
  return key;
}
