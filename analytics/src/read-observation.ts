import { type Agent, verifyObservationSignature } from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import type { Agents } from './agents.ts';
import type { Arrival } from './arrival.ts';
import type { CertificateCache } from './certificate-cache.ts';
import type { CommonColumnsCache } from './common-columns.ts';
import type { LiveDetection } from './detection/live.ts';
import type { Sighting } from './detection/sighting.ts';
import { Unfit, few, hex, maxCertificates, rowId, time } from './fields.ts';
import type { Decoded, ObservationDecoder } from './observation-decoder.ts';
import type { OwnColumns, Read } from './rows.ts';

interface Addressed {
  readonly agent?: string;
  readonly asker?: string;
  readonly campaign: boolean;
}

const subjects = new Map<string, Addressed>();

/** Who answers whom; without an asker when it is no subject of ours. */
function addressed(subject: string): Addressed {
  let found = subjects.get(subject);
  if (!found) {
    const [, , agent = '', ...rest] = subject.split('.');
    const campaign = rest[0] === 'campaign' && rest.length === 2;
    const asker = campaign ? rest[1] : rest[0];
    found = asker && (campaign || rest.length === 1) ? { agent, asker, campaign } : { campaign: false };
    if (subjects.size > 10_000) subjects.clear();
    subjects.set(subject, found);
  }
  return found;
}

/** How far the clock of an agent may be ahead before its repetitions are only searched for among late ones. */
const clockToleranceMs = 30_000;

export interface ReadContext {
  readonly decoder: ObservationDecoder;
  readonly agents: Agents;
  readonly certificates: CertificateCache;
  readonly commonColumns: CommonColumnsCache;
  readonly detection: Pick<LiveDetection, 'judge' | 'expects' | 'contested' | 'rulesVersion'>;
  /** With more messages waiting than this, what only repeats is not verified. */
  readonly unverifiedBeyond: number;
  /** Share of matches that is stored. */
  readonly matchesStored: number;
}

/**
 * Messages on `mecai.observation.<agent>.<coordinator>` and `mecai.observation.<agent>.campaign.<campaigns>`:
 * decoded, verified against the registry, judged, made a row.
 */
export function readObservation({ subject, data, receivedAt, waiting }: Arrival, context: ReadContext): Read {
  const { agent: subjectAgent, asker, campaign } = addressed(subject);
  let decoded: Decoded;
  try {
    decoded = context.decoder.decode(data);
  } catch {
    return { fault: 'malformed' };
  }
  const { evidence, observation } = decoded;
  if (!asker || observation.agent !== subjectAgent) return { fault: 'other-sender' };
  const agent = context.agents.find(observation.agent);
  if (!agent) return { fault: 'unknown-agent' };
  try {
    const chain = context.certificates.chain(few(maxCertificates, observation.chain, 'chain'));
    const { columns, endpoint } = context.commonColumns.find(observation, agent, asker, chain);
    const id = rowId(evidence.observation);
    const [leaf] = chain.certificates;
    const observedAt = time(observation.observedAt);
    const sighting: Sighting = {
      id,
      at: receivedAt,
      observedAt,
      agent: columns.agent,
      country: columns.country,
      rir: columns.rir,
      asn: columns.asn,
      address: columns.address,
      targetAsn: columns.target_asn,
      port: columns.port,
      serverName: columns.server_name,
      startTls: columns.start_tls,
      keyType: columns.key_type,
      proven: columns.possession_proven,
      error: columns.error_class,
      leaf: columns.leaf,
      spki: columns.leaf_spki || columns.leaf,
      issuer: columns.issuer,
      subject: leaf?.subject ?? '',
      dnsNames: leaf?.dns_names ?? [],
      key: endpoint,
    };
    // Only what tells nothing new may go unverified, so that nothing that is evidence ever does.
    const verified = waiting <= context.unverifiedBeyond || !context.detection.expects(sighting);
    if (verified && !signedBy(evidence, agent, context.agents)) return { fault: 'bad-signature' };
    const verdict = context.detection.judge(sighting);
    const weight = verdict === 'match' ? weightOf(id, context.matchesStored) : 1;
    if (weight === 0) return { left: 'sampled' };
    const row: OwnColumns = {
      id,
      received_at: receivedAt,
      observed_at: observedAt,
      nonce: nonce(observation.nonce),
      // The first half of a campaign's nonces is its id.
      campaign: campaign ? hex(observation.nonce.subarray(0, 16)) : '',
      connect_us: observation.timings?.connect ?? 0,
      first_byte_us: observation.timings?.firstByte ?? 0,
      proof_us: observation.timings?.proof ?? 0,
      end_us: observation.timings?.end ?? 0,
      verified,
      verdict,
      rules_version: context.detection.rulesVersion,
      weight,
    };
    const worthKeeping = verdict === 'mismatch' || context.detection.contested(sighting);
    return {
      table: 'observations',
      row,
      common: columns,
      earliest: Math.min(receivedAt, observation.observedAt - clockToleranceMs),
      certificates: chain.certificates,
      ...(worthKeeping && {
        evidence: {
          observation: id,
          received_at: receivedAt,
          agent: agent.name,
          signed_base64: Buffer.from(data).toString('base64'),
        },
      }),
    };
  } catch (error) {
    if (error instanceof Unfit) return { fault: error.fault };
    throw error;
  }
}

/** Observations that this one stands for; 0: it is not stored. The same each time it comes, so counts stay exact. */
function weightOf(id: string, share: number): number {
  if (share === 1) return 1;
  return Number.parseInt(id.slice(0, 8), 16) < share * 2 ** 32 ? Math.round(1 / share) : 0;
}

/** By the agent as registered, or as registered by now when its key has changed. */
function signedBy(evidence: SignedObservation, agent: Agent, agents: Agents): boolean {
  if (verifyObservationSignature(evidence, agent.publicKey)) return true;
  const newer = agents.findNewer(agent);
  return newer !== undefined && verifyObservationSignature(evidence, newer.publicKey);
}

function nonce(bytes: Uint8Array): string {
  if (bytes.length !== 32) throw new Unfit('malformed', 'nonce');
  return hex(bytes);
}
