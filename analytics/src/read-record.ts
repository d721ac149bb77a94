import { verifyObservationSignature } from '@mecai/corroboration';
import { Decision, KeyType, Mismatch, Observation } from '@mecai/proto';
import { type SignedVoucher, parseSignedVoucher } from '@mecai/voucher';
import type { Agents } from './agents.ts';
import type { CertificateCache } from './certificate-cache.ts';
import {
  Unfit,
  cut,
  few,
  hex,
  ipv6,
  keyTypeText,
  maxCertificates,
  rowId,
  sha256,
  short,
  targetFields,
  time,
} from './fields.ts';
import { type Arrival, recordId } from './arrival.ts';
import { readReport } from './read-report.ts';
import type { Read, VoucherRow } from './rows.ts';

/**
 * Messages on `mecai.decision.<coordinator>`, `mecai.mismatch.…` and `mecai.report.…`. Coordinators do not sign them:
 * that the subject is theirs alone is seen to by nats-server.
 */
export function readRecord(
  arrival: Arrival,
  { agents, certificates }: { agents: Agents; certificates: CertificateCache },
): Read {
  const [, kind, coordinator, ...rest] = arrival.subject.split('.');
  if (!coordinator || rest.length > 0) return { fault: 'other-sender' };
  try {
    switch (kind) {
      case 'decision':
        return decision(arrival, coordinator);
      case 'mismatch':
        return mismatch(arrival, coordinator, agents);
      default:
        return readReport(arrival, coordinator, certificates);
    }
  } catch (error) {
    return { fault: error instanceof Unfit ? error.fault : 'malformed' };
  }
}

function decision(arrival: Arrival, coordinator: string): Read {
  const record = Decision.decode(arrival.data);
  if (record.coordinator !== coordinator) return { fault: 'other-sender' };
  const targets = few(maxCertificates, record.targets, 'targets').map(targetFields);
  const perspectives = few(1000, record.perspectives, 'perspectives');
  const voucher = voucherRow(arrival, record);
  return {
    table: 'decisions',
    row: {
      id: recordId(arrival),
      received_at: arrival.receivedAt,
      decided_at: time(record.decidedAt),
      nonce: hex(record.nonce),
      coordinator,
      status: short(64, record.status, 'status'),
      reason: short(64, record.reason, 'reason'),
      detail: cut(1000, record.detail),
      'target.address': targets.map(({ address }) => address),
      'target.port': targets.map(({ port }) => port),
      'target.server_name': targets.map(({ server_name }) => server_name),
      'target.start_tls': targets.map(({ start_tls }) => start_tls),
      'target.key_type': targets.map(({ key_type }) => key_type),
      chain: few(maxCertificates, record.chain, 'chain').map(hex),
      'perspective.agent': perspectives.map(({ agent }) => short(64, agent, 'agent')),
      'perspective.address': perspectives.map(({ address }) => ipv6OrNone(address)),
      'perspective.verdict': perspectives.map(({ verdict }) => short(64, verdict, 'verdict')),
      'perspective.code': perspectives.map(({ code }) => short(64, code, 'code')),
      voucher: voucher?.id ?? '',
      requester: ipv6OrNone(record.requester),
      authenticated: record.authenticated,
      audit_sequence: record.auditSequence,
      signer: short(2048, record.signer, 'signer'),
    },
    earliest: arrival.receivedAt,
    ...(voucher && { voucher }),
  };
}

function voucherRow({ receivedAt }: Arrival, record: Decision): VoucherRow | undefined {
  if (record.voucher.length === 0) return undefined;
  let signed: SignedVoucher;
  try {
    signed = parseSignedVoucher(record.voucher);
  } catch {
    throw new Unfit('malformed', 'voucher');
  }
  const { voucher, contentHash } = signed;
  const chain = [voucher.leaf, ...voucher.intermediates].map(hex);
  const [target] = record.targets;
  return {
    id: hex(contentHash),
    received_at: receivedAt,
    coordinator: record.coordinator,
    serial: hex(voucher.serial),
    produced_at: Math.floor(voucher.producedAt.getTime() / 1000),
    not_after: Math.floor(voucher.notAfter.getTime() / 1000),
    address: [voucher.ipv4, voucher.ipv6].flatMap((address) => (address ? [ipv6(address)] : [])),
    port: voucher.port,
    server_name: target?.serverName ?? '',
    start_tls: target?.startTls ?? '',
    key_type: keyTypeText(target?.keyType ?? KeyType.KEY_TYPE_UNSPECIFIED),
    chain,
    leaf: chain[0]!,
    trust_contexts: voucher.trustContexts,
    der_base64: Buffer.from(record.voucher).toString('base64'),
  };
}

function mismatch(arrival: Arrival, coordinator: string, agents: Agents): Read {
  const record = Mismatch.decode(arrival.data);
  if (record.coordinator !== coordinator) return { fault: 'other-sender' };
  const agent = agents.find(record.agent);
  return {
    table: 'mismatches',
    row: {
      id: recordId(arrival),
      received_at: arrival.receivedAt,
      seen_at: time(record.seenAt),
      nonce: hex(record.nonce),
      coordinator,
      agent: short(64, record.agent, 'agent'),
      country: agent?.country ?? '',
      rir: agent?.rir ?? '',
      asn: agent?.asn ?? 0,
      ...targetFields(record.target),
      expected: few(maxCertificates, record.expected, 'expected').map(digest),
      observed: few(maxCertificates, record.observed, 'observed').map(digest),
      observation: record.evidence ? rowId(record.evidence.observation) : '',
      evidence_valid: evidenceValid(record, agents),
    },
    earliest: arrival.receivedAt,
  };
}

function evidenceValid({ evidence, agent: name, nonce }: Mismatch, agents: Agents): boolean {
  const agent = agents.find(name);
  if (!evidence || !agent || !verifyObservationSignature(evidence, agent.publicKey)) return false;
  const observation = Observation.decode(evidence.observation);
  return observation.agent === name && Buffer.compare(observation.nonce, nonce) === 0;
}

const ipv6OrNone = (address: Uint8Array) => (address.length === 0 ? '::' : ipv6(address));

/** Chains come as certificates or as their digests. */
const digest = (certificate: Uint8Array) =>
  hex(certificate.length === 32 ? certificate : sha256(certificate));
