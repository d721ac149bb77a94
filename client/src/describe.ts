/** A voucher in plain words. */
import { formatAddress } from '@mecai/addresses';
import {
  type Certificate,
  nameText,
  parseCrl,
  parseOcspResponse,
  PkiError,
  type RevocationDocument,
} from '@mecai/pki';
import {
  type CertificateStatus,
  type Outcome,
  type Perspective,
  type PerspectiveOutcome,
  type Rir,
  shownQuorum,
  type VaStatus,
  type Voucher,
} from '@mecai/voucher';

const countries = new Intl.DisplayNames('en', { type: 'region' });

const rirNames: Readonly<Record<Rir, string>> = {
  afrinic: 'AFRINIC',
  apnic: 'APNIC',
  arin: 'ARIN',
  lacnic: 'LACNIC',
  ripencc: 'RIPE NCC',
};

/**
 * Several lines, without a final line break: who vouches (if the signer's certificate is given), for what,
 * where, when, and from where it was seen.
 */
export function describeVoucher(voucher: Voucher, signer?: Certificate): string {
  const { ipv4, ipv6, intermediates, quorum } = voucher;
  const addresses = [ipv4, ipv6].flatMap((one) => (one ? [formatAddress(one)] : []));
  const rows: readonly (readonly [string, string])[] = [
    ...(signer ? [['vouched by', subjectText(signer)] as const] : []),
    ['for', `${addresses.join(' and ')}, port ${voucher.port}`],
    ['certificate', `SHA-256 ${hex(voucher.leaf)}`],
    ...intermediates.map((one, i) => [`intermediate ${i + 1}`, `SHA-256 ${hex(one)}`] as const),
    ['produced', timeText(voucher.producedAt)],
    ['good until', timeText(voucher.notAfter)],
    ['trusted in', voucher.trustContexts.join(', ')],
    ['quorum', quorumText(voucher)],
    ['perspectives', `version ${voucher.directoryVersion} of the directory`],
    ...(voucher.status.length === 0 ? [['revocation', 'no status included'] as const] : []),
    ...voucher.status.map((one) => ['revocation', statusText(one)] as const),
    ['serial', hex(voucher.serial)],
    ...(voucher.extensions ?? []).map((one) => ['extension', `${one.oid}, not understood`] as const),
  ];
  const table = rows.map(([label, text]) => `${label.padEnd(14)} ${text}`);
  const perspectives = voucher.perspectives.map((one) => `  ${describePerspective(one)}`);
  const { matches } = shownQuorum(voucher);
  const tally = `${matches} of ${count(voucher.perspectives.length, 'perspective')} shown agree:`;
  return [...table, tally, ...perspectives.toSorted(), requirementText(voucher, quorum.intermediates)].join(
    '\n',
  );
}

function quorumText({ quorum }: Voucher): string {
  const spread = `${count(quorum.regions, 'region')} and ${count(quorum.networks, 'network')}`;
  return (
    `at least ${quorum.matches} of ${quorum.asked} perspectives, from at least ${spread}, ` +
    `${quorum.kilometres} km apart`
  );
}

const requirementText = (voucher: Voucher, intermediates: boolean): string =>
  intermediates && voucher.intermediates.length > 0
    ? 'The certificate and its intermediates had to be the same everywhere.'
    : 'Only the server certificate itself had to be the same everywhere.';

/** One perspective of a voucher or of a response on one line: where it is and what it saw. */
export function describePerspective(one: Perspective | PerspectiveOutcome): string {
  const place = `${countryText(one.country)} (${rirNames[one.rir]}, AS${one.asn})`;
  const seen = (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const outcome = one[family];
    return outcome === undefined ? [] : [{ family, outcome: wordsOf(outcome) }];
  });
  const [first, second] = seen;
  if (!first) return `${place}: not asked`;
  if (!second || first.outcome === second.outcome) return `${place}: ${first.outcome}`;
  return `${place}: ${seen.map(({ family, outcome }) => `${outcome} over ${familyNames[family]}`).join(', ')}`;
}

const familyNames = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;

const wordsOf = (outcome: string | Outcome): string => {
  if (typeof outcome === 'string') return outcome;
  return outcome.code === undefined ? outcome.verdict : `${outcome.verdict} (${outcome.code})`;
};

function statusText(status: CertificateStatus): string {
  const whose = status.certificate === 0 ? 'certificate' : `intermediate ${status.certificate}`;
  if ('ocsp' in status) return `${whose}: OCSP response of ${count(status.ocsp.length, 'octet')}`;
  const { number, thisUpdate, nextUpdate } = status.crl;
  const name = number === undefined ? 'CRL' : `CRL number ${number}`;
  return `${whose}: ${name} of ${timeText(thisUpdate)}, next ${timeText(nextUpdate)}`;
}

/** A CRL or OCSP response about the VA in plain words, on one line; what it says is not verified. */
export function describeRevocation({ kind, der }: RevocationDocument): string {
  try {
    if (kind === 'crl') {
      const { number, thisUpdate, nextUpdate } = parseCrl(der);
      return `CRL number ${number} of ${timeText(thisUpdate)}, next ${timeText(nextUpdate)}`;
    }
    const [response] = parseOcspResponse(der).responses;
    if (!response) return 'OCSP response about nothing';
    const next = response.nextUpdate ? `, next ${timeText(response.nextUpdate)}` : '';
    return `OCSP response of ${timeText(response.thisUpdate)}${next}: ${response.status}`;
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return `${kind === 'crl' ? 'CRL' : 'OCSP response'} that cannot be read: ${error.message}`;
  }
}

/** What is known of the revocation of the VA's own certificates. */
export function describeVaStatus({ status, thisUpdate, nextUpdate }: VaStatus): string {
  if (status === 'good' && thisUpdate && nextUpdate)
    return `not revoked as of ${timeText(thisUpdate)}, next ${timeText(nextUpdate)}`;
  return vaStatusWords[status];
}

const vaStatusWords = {
  good: 'short-lived, need not be revocable',
  revoked: 'revoked',
  stale: 'not revoked when last heard of, which is out of date',
  unknown: 'not known whether it is revoked',
} as const;

function subjectText(certificate: Certificate): string {
  try {
    return nameText(certificate.subject);
  } catch (error) {
    if (error instanceof PkiError) return 'a name that cannot be read';
    throw error;
  }
}

/** Codes that nobody has assigned yet are shown as they are. */
export const countryText = (code: string): string => countries.of(code) ?? code;

const timeText = (time: Date): string => time.toISOString().replace('T', ' ').replace('.000Z', ' UTC');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;
