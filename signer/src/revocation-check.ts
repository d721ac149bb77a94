/** What the revocation status of its certificates means for a chain. */
import { type CertificateStatus, type RevocationPolicy, nameText, refusedBy } from '@mecai/pki';
import { RefusalCode } from '@mecai/proto/signer';
import { type CertificateStatus as VoucherStatus, voucherLimits } from '@mecai/voucher';
import type { Accepted, AssessedContext } from './chain-policy.ts';
import { sha256Hex } from './digest.ts';
import type { Link } from './link.ts';

export interface Revocation {
  readonly contexts: readonly AssessedContext[];
  readonly trustContexts: readonly string[];
  /** For the voucher. */
  readonly status: readonly VoucherStatus[];
}

export interface RevocationRefusal {
  readonly code: RefusalCode;
  readonly detail: string;
}

/** OCSP responses about the chain in one voucher, octets: the rest of the 65,500 is for the VA's own and more. */
const responseOctets = 24_576;

/**
 * A trust context is lost when a certificate on its path is revoked. Without any context left the chain is refused
 * as revoked; with one whose status is not known, the policy decides.
 */
export function checkRevocation(
  { contexts, links }: Accepted,
  statusOf: (link: Link) => CertificateStatus,
  policy: RevocationPolicy,
  producedAt: Date,
): Revocation | { readonly refusal: RevocationRefusal } {
  const statuses = links.map(statusOf);
  const judged = contexts.map((context): AssessedContext => {
    if (!context.trusted) return context;
    const revoked = context.links.find((link) => statuses[link]!.status === 'revoked');
    if (revoked === undefined) return context;
    return { ...context, trusted: false, reason: `revoked: ${describeStatus(statuses[revoked]!)}` };
  });
  const left = judged.filter(({ trusted }) => trusted);
  if (left.length === 0) {
    const detail = describeStatus(statuses.find(({ status }) => status === 'revoked')!);
    return { refusal: { code: RefusalCode.REFUSAL_CODE_REVOKED, detail } };
  }
  const counting = [...new Set(left.flatMap((context) => context.links))];
  const unsettled = refusedBy(
    counting.map((link) => statuses[link]!),
    policy,
  );
  if (unsettled) {
    const detail = describeStatus(unsettled);
    return { refusal: { code: RefusalCode.REFUSAL_CODE_REVOCATION_UNKNOWN, detail } };
  }
  return {
    contexts: judged,
    trustContexts: left.map(({ id }) => id),
    status: voucherStatus(
      counting.map((link) => ({ position: links[link]!.position, status: statuses[link]! })),
      producedAt,
    ),
  };
}

/** At most one for each certificate of the chain: the OCSP response where there is one and it fits. */
function voucherStatus(
  found: readonly { readonly position: number | undefined; readonly status: CertificateStatus }[],
  producedAt: Date,
): VoucherStatus[] {
  const statuses = new Map<number, VoucherStatus>();
  let room = responseOctets;
  for (const { position, status } of found) {
    if (position === undefined || statuses.has(position)) continue;
    for (const one of status.evidence) {
      if (statuses.has(position)) break;
      if (one.kind === 'ocsp') {
        const { length } = one.verdict.der;
        if (length > Math.min(room, voucherLimits.ocspOctets)) continue;
        room -= length;
        statuses.set(position, { certificate: position, ocsp: one.verdict.der });
      }
      if (one.kind === 'crl') {
        const { number, thisUpdate, nextUpdate, sha256: digest } = one.delta ?? one.crl;
        // From a clock that is ahead: true, but no reader of the voucher would take it.
        if (thisUpdate > producedAt) continue;
        statuses.set(position, { certificate: position, crl: { number, thisUpdate, nextUpdate, digest } });
      }
    }
  }
  return [...statuses.values()];
}

/** CRLReason (RFC 5280 section 5.3.1). */
const reasons = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  undefined,
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
];

export function describeStatus({ certificate, status, revokedAt, reason }: CertificateStatus): string {
  const which = `${nameText(certificate.subject)} (SHA-256 ${sha256Hex(certificate.der)})`;
  switch (status) {
    case 'revoked': {
      const when = revokedAt ? ` on ${revokedAt.toISOString()}` : '';
      const why = reason === undefined ? 'no reason given' : `reason ${reasons[reason] ?? reason}`;
      return `${which} was revoked${when}, ${why}`;
    }
    case 'stale':
      return `${which}: revocation status out of date, no CRL or OCSP response is current`;
    case 'unknown':
      return `${which}: revocation status unknown, no CRL or OCSP response covers it`;
    case 'good':
      return which;
    default:
      return status satisfies never;
  }
}
