import { type Agent, failureClassOf, verifyObservationSignature } from '@mecai/corroboration';
import type { Observation, SignedObservation, Target } from '@mecai/proto';
import type { Agents } from './agents.ts';
import type { Arrival } from './arrival.ts';
import type { CertificateCache } from './certificate-cache.ts';
import type { LiveDetection } from './detection/live.ts';
import { type Sighting, endpointKey } from './detection/sighting.ts';
import {
  type TargetFields,
  Unfit,
  atMost,
  cut,
  few,
  hex,
  maxCertificates,
  rowId,
  short,
  targetFields,
  time,
} from './fields.ts';
import type { Geo } from './geo.ts';
import type { Decoded, ObservationDecoder } from './observation-decoder.ts';
import type { ObservationRow, Read } from './rows.ts';

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
  readonly geo: Geo;
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
    const { certificates, fingerprints } = context.certificates.chain(
      few(maxCertificates, observation.chain, 'chain'),
    );
    const id = rowId(evidence.observation);
    const { target, key } = endpointOf(observation.target);
    const location = context.geo.find(target.address);
    const failure = failureFields(observation);
    const tls = tlsFields(observation);
    const [leaf] = certificates;
    const observedAt = time(observation.observedAt);
    const sighting: Sighting = {
      id,
      at: receivedAt,
      observedAt,
      agent: agent.name,
      country: agent.country,
      rir: agent.rir,
      asn: agent.asn,
      address: target.address,
      targetAsn: location.asn,
      port: target.port,
      serverName: target.server_name,
      startTls: target.start_tls,
      keyType: target.key_type,
      proven: observation.possessionProven,
      error: failure.error_class,
      leaf: leaf?.fingerprint ?? '',
      spki: leaf?.spki || (leaf?.fingerprint ?? ''),
      issuer: leaf?.issuer ?? '',
      subject: leaf?.subject ?? '',
      dnsNames: leaf?.dns_names ?? [],
      key,
    };
    // Only what tells nothing new may go unverified, so that nothing that is evidence ever does.
    const verified = waiting <= context.unverifiedBeyond || !context.detection.expects(sighting);
    if (verified && !signedBy(evidence, agent, context.agents)) return { fault: 'bad-signature' };
    const verdict = context.detection.judge(sighting);
    const weight = verdict === 'match' ? weightOf(id, context.matchesStored) : 1;
    if (weight === 0) return { left: 'sampled' };
    const row: ObservationRow = {
      id,
      received_at: receivedAt,
      observed_at: observedAt,
      nonce: nonce(observation.nonce),
      coordinator: asker,
      // The first half of a campaign's nonces is its id.
      campaign: campaign ? hex(observation.nonce.subarray(0, 16)) : '',
      agent: agent.name,
      country: agent.country,
      region: agent.region,
      city: agent.city,
      rir: agent.rir,
      asn: agent.asn,
      address: target.address,
      target_country: location.country,
      target_asn: location.asn,
      port: target.port,
      server_name: target.server_name,
      start_tls: target.start_tls,
      key_type: target.key_type,
      chain: fingerprints,
      leaf: sighting.leaf,
      leaf_spki: leaf?.spki ?? '',
      leaf_key: leaf?.key ?? '',
      issuer: sighting.issuer,
      possession_proven: observation.possessionProven,
      tls_version: tls.tls_version,
      cipher_suite: tls.cipher_suite,
      key_group: tls.key_group,
      signature_scheme: tls.signature_scheme,
      alpn: tls.alpn,
      ocsp_responses: few(maxCertificates, observation.ocsp, 'ocsp').length,
      sct_lists: few(maxCertificates, observation.sctLists, 'sctLists').length,
      error_class: failure.error_class,
      alert: failure.alert,
      error_detail: failure.error_detail,
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
      earliest: Math.min(receivedAt, observation.observedAt - clockToleranceMs),
      certificates,
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

interface Probed {
  readonly target: TargetFields;
  readonly key: string;
}

const probed = new Map<Target, Probed>();
/** As many as the decoder tells apart. */
const mostProbed = 50_000;

/** The same object comes again and again (ObservationDecoder). */
function endpointOf(target: Target | undefined): Probed {
  let found = target && probed.get(target);
  if (!found) {
    const fields = targetFields(target);
    const { address, port, server_name, start_tls, key_type } = fields;
    const key = endpointKey({
      address,
      port,
      serverName: server_name,
      startTls: start_tls,
      keyType: key_type,
    });
    found = { target: fields, key };
    if (probed.size >= mostProbed) probed.clear();
    probed.set(target!, found);
  }
  return found;
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
