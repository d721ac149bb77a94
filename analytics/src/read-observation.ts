import { type Agent, failureClassOf, verifyObservationSignature } from '@mecai/corroboration';
import { Observation, SignedObservation } from '@mecai/proto';
import type { Agents } from './agents.ts';
import type { Arrival } from './arrival.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { Unfit, atMost, cut, few, hex, maxCertificates, rowId, short, targetFields, time } from './fields.ts';
import type { ObservationRow, Read } from './rows.ts';

/** Who answers whom; without an asker when it is no subject of ours. */
function addressed(subject: string): { agent?: string; asker?: string; campaign: boolean } {
  const [, , agent = '', ...rest] = subject.split('.');
  const campaign = rest[0] === 'campaign' && rest.length === 2;
  const asker = campaign ? rest[1] : rest[0];
  return asker && (campaign || rest.length === 1) ? { agent, asker, campaign } : { campaign: false };
}

/** How far the clock of an agent may be ahead before its repetitions are only searched for among late ones. */
const clockToleranceMs = 30_000;

/**
 * Messages on `mecai.observation.<agent>.<coordinator>` and `mecai.observation.<agent>.campaign.<campaigns>`:
 * decoded, verified against the registry, made a row.
 */
export function readObservation(
  { subject, data, receivedAt }: Pick<Arrival, 'subject' | 'data' | 'receivedAt'>,
  { agents, certificates }: { agents: Agents; certificates: CertificateCache },
): Read {
  const { agent: subjectAgent, asker, campaign } = addressed(subject);
  let evidence: SignedObservation;
  let observation: Observation;
  try {
    evidence = SignedObservation.decode(data);
    observation = Observation.decode(evidence.observation);
  } catch {
    return { fault: 'malformed' };
  }
  if (!asker || observation.agent !== subjectAgent) return { fault: 'other-sender' };
  const agent = agents.find(observation.agent);
  if (!agent) return { fault: 'unknown-agent' };
  const signer = signerOf(evidence, agent, agents);
  if (!signer) return { fault: 'bad-signature' };
  try {
    const chain = few(maxCertificates, observation.chain, 'chain').map((der) => certificates.facts(der));
    const row: ObservationRow = {
      id: rowId(evidence.observation),
      received_at: receivedAt,
      observed_at: time(observation.observedAt),
      nonce: nonce(observation.nonce),
      coordinator: asker,
      // The first half of a campaign's nonces is its id.
      campaign: campaign ? hex(observation.nonce.subarray(0, 16)) : '',
      agent: signer.name,
      country: signer.country,
      region: signer.region,
      city: signer.city,
      rir: signer.rir,
      asn: signer.asn,
      ...targetFields(observation.target),
      target_country: '',
      target_asn: 0,
      chain: chain.map(({ fingerprint }) => fingerprint),
      leaf: chain[0]?.fingerprint ?? '',
      leaf_spki: chain[0]?.spki ?? '',
      leaf_key: chain[0]?.key ?? '',
      issuer: chain[0]?.issuer ?? '',
      possession_proven: observation.possessionProven,
      ...tlsFields(observation),
      ocsp_responses: few(maxCertificates, observation.ocsp, 'ocsp').length,
      sct_lists: few(maxCertificates, observation.sctLists, 'sctLists').length,
      ...failureFields(observation),
      connect_us: observation.timings?.connect ?? 0,
      first_byte_us: observation.timings?.firstByte ?? 0,
      proof_us: observation.timings?.proof ?? 0,
      end_us: observation.timings?.end ?? 0,
      verified: true,
      verdict: observation.possessionProven ? 'new' : 'inconclusive',
      rules_version: 0,
      weight: 1,
    };
    return {
      table: 'observations',
      row,
      earliest: Math.min(receivedAt, observation.observedAt - clockToleranceMs),
      certificates: chain.map((facts) => ({ ...facts, first_received_at: receivedAt })),
    };
  } catch (error) {
    if (error instanceof Unfit) return { fault: error.fault };
    throw error;
  }
}

/** The agent as registered, or as registered by now when its key has changed. */
function signerOf(evidence: SignedObservation, agent: Agent, agents: Agents): Agent | undefined {
  if (verifyObservationSignature(evidence, agent.publicKey)) return agent;
  const newer = agents.findNewer(agent);
  return newer && verifyObservationSignature(evidence, newer.publicKey) ? newer : undefined;
}

function nonce(bytes: Uint8Array): string {
  if (bytes.length !== 32) throw new Unfit('malformed', 'nonce');
  return hex(bytes);
}

const tlsFields = ({ tls }: Observation) => ({
  tls_version: atMost(0xffff, tls?.version ?? 0, 'version'),
  cipher_suite: atMost(0xffff, tls?.cipherSuite ?? 0, 'cipherSuite'),
  key_group: atMost(0xffff, tls?.group ?? 0, 'group'),
  signature_scheme: atMost(0xffff, tls?.signatureScheme ?? 0, 'signatureScheme'),
  // At most 255 octets (RFC 7301 section 3.1).
  alpn: short(255, tls?.alpn ?? '', 'alpn'),
});

function failureFields({ failure }: Observation) {
  if (!failure) return { error_class: '', alert: null, error_detail: '' };
  return {
    error_class: failureClassOf(failure),
    alert: failure.class === 'alert' ? atMost(0xff, failure.alert, 'alert') : null,
    error_detail: cut(300, failure.detail),
  };
}
