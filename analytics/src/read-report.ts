import { type CheckStatistics, ClientReport, type FailedCheck } from '@mecai/proto';
import { parseSignedVoucher } from '@mecai/voucher';
import { type Arrival, recordId } from './arrival.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { Unfit, few, hex, maxCertificates, sha256, short, targetFields, time } from './fields.ts';
import type { Read } from './rows.ts';

const day = 86_400_000;

/** Messages on `mecai.report.<coordinator>`. What is in them, anyone may have made up. */
export function readReport(arrival: Arrival, coordinator: string, certificates: CertificateCache): Read {
  const { coordinator: sender, content } = ClientReport.decode(arrival.data);
  if (sender !== coordinator) return { fault: 'other-sender' };
  if (!content) throw new Unfit('malformed', 'report');
  return content.$case === 'failedCheck'
    ? failed(arrival, coordinator, content.failedCheck, certificates)
    : counted(arrival, coordinator, content.statistics);
}

function failed(
  arrival: Arrival,
  coordinator: string,
  check: FailedCheck,
  certificates: CertificateCache,
): Read {
  const chain = few(maxCertificates, check.chain, 'chain').map((der) => certificates.facts(der));
  const { key_type: _, ...target } = targetFields(check.target);
  return {
    table: 'client_reports',
    row: {
      id: recordId(arrival),
      received_at: arrival.receivedAt,
      seen_at: time(check.seenAt),
      coordinator,
      report: hex(check.id),
      times: check.times,
      mode: short(32, check.mode, 'mode'),
      codes: few(100, check.codes, 'codes').map((code) => short(64, code, 'code')),
      ...target,
      chain: chain.map(({ fingerprint }) => fingerprint),
      leaf: chain[0]?.fingerprint ?? '',
      vas: few(100, check.vas, 'vas').map((name) => short(64, name, 'va')),
      vouchers: few(100, check.vouchers, 'vouchers').map(voucherId),
    },
    earliest: arrival.receivedAt,
    certificates: chain,
  };
}

function counted(arrival: Arrival, coordinator: string, { day: at, counts }: CheckStatistics): Read {
  few(100, counts, 'counts');
  return {
    table: 'client_statistics',
    row: {
      id: recordId(arrival),
      received_at: arrival.receivedAt,
      coordinator,
      day: Math.floor(time(at) / day),
      'count.code': counts.map(({ code }) => short(64, code, 'code')),
      'count.checks': counts.map(({ checks }) => checks),
    },
    earliest: arrival.receivedAt,
  };
}

function voucherId(cms: Uint8Array): string {
  try {
    return hex(parseSignedVoucher(cms).contentHash);
  } catch {
    return hex(sha256(cms));
  }
}
