/** What a guarded connection found, in words. */
import { nameText, parseCertificate, PkiError } from '@mecai/pki';
import { shownQuorum } from '@mecai/voucher';
import { hash } from 'node:crypto';
import type { Route } from '../candidates.ts';
import type { JudgedVoucher } from '../checker.ts';
import { countryText } from '../describe.ts';
import type { Outcome } from '../guard/guard.ts';
import { printable } from '../request.ts';
import type { Colours } from './colours.ts';

/** How it came, and what that costs. */
const routeWords: Readonly<Record<Route, string>> = {
  'tls-extension': 'in a TLS extension, on a second connection made for it',
  ocsp: 'in the OCSP slot of the handshake: no round trip',
  'well-known': "in the server's own file, on this connection: one round trip, then none for hours",
  direct: 'asked of the VA itself, which now knows who visits which server, and when',
};

export function outcomeText(outcome: Outcome, colours: Colours): string {
  const { good, bad, doubtful, faint, strong } = colours;
  const { handshake, choice, check, intranet, firstFailures } = outcome;
  const row = (label: string, text: string) => `${faint(label.padEnd(13))} ${text}`;
  const lines = [
    row('host', strong(printable(outcome.host))),
    row('address', `${handshake.address}, port ${handshake.port}`),
    ...handshake.chain.map((one, i) => row(i === 0 ? 'certificate' : `issuer ${i}`, certificateText(one))),
  ];
  if (intranet !== undefined) {
    lines.push(row('intranet', `${intranet} is pinned to its own CA; no voucher is asked for`));
  }
  if (choice) {
    const names = choice.vas.map(({ name, country }) => `${printable(name)} (${countryText(country)})`);
    lines.push(row('chosen', `${names.join(', ')}: ${choice.accept} of them must vouch`));
    for (const count of choice.perspectives) {
      const place = 'in' in count ? `in ${count.in.join(', ')}` : `outside ${count.notIn.join(', ')}`;
      const most = count.atMost === undefined ? '' : `, ${count.atMost} at most`;
      lines.push(row('', `corroborated ${place} by ${count.atLeast ?? 0} perspectives at least${most}`));
    }
  }
  if (firstFailures) {
    const codes = firstFailures.map(({ code }) => code).join(', ');
    lines.push(row('second try', `the server's first certificate failed (${codes}); this is its other one`));
  }
  for (const one of check.vouchers) lines.push(...voucherLines(one, colours, row));
  if (choice && check.vouchers.length === 0) lines.push(row('voucher', bad('none shown')));
  const status = { good, revoked: bad, stale: doubtful, unknown: doubtful }[check.status];
  lines.push(row('revocation', status(statusWords[check.status])));
  for (const { code, message } of check.failures)
    lines.push(row('failure', `${bad(code)}: ${printable(message)}`));
  lines.push(row('verdict', verdictText(outcome, colours)));
  return `${lines.join('\n')}\n`;
}

const statusWords = {
  good: 'the server certificate is not revoked, as of a current statement',
  revoked: 'revoked',
  stale: 'what is known of the server certificate is out of date',
  unknown: 'nothing is known of the server certificate',
} as const;

function voucherLines(
  { route, va, verified, failures }: JudgedVoucher,
  { good, bad, faint }: Colours,
  row: (label: string, text: string) => string,
): string[] {
  const who = va ? printable(va.name) : 'a VA that is not listed';
  const passed = failures.length === 0;
  const mark = passed ? good('✔ holds') : bad(`✘ ${failures.map(({ code }) => code).join(', ')}`);
  const lines = [row('voucher', `${who}: ${mark}`), row('', faint(routeWords[route]))];
  if (!verified) return lines;
  const { content } = verified;
  const { matches, regions, networks } = shownQuorum(content);
  const places = [...new Set(content.perspectives.map(({ country }) => countryText(country)))];
  lines.push(
    row(
      '',
      `${matches} perspectives agree, in ${regions} regions and ${networks} networks: ${places.join(', ')}`,
    ),
    row('', `produced ${content.producedAt.toISOString()}, trusted in ${content.trustContexts.join(', ')}`),
  );
  return lines;
}

function verdictText({ verdict, mode, check }: Outcome, { good, bad, doubtful }: Colours): string {
  if (verdict === 'reject') return bad('refused: nothing of a request has left this machine');
  if (verdict === 'warn') return doubtful('goes on with a warning, as the mode for this host is warn');
  if (check.failures.length > 0) return doubtful(`goes on, as the mode for this host is ${mode}`);
  return good('accepted: a second opinion agrees');
}

function certificateText(der: Uint8Array): string {
  const digest = `SHA-256 ${hash('sha256', der, 'hex')}`;
  try {
    return `${printable(nameText(parseCertificate(der).subject))}, ${digest}`;
  } catch (error) {
    if (error instanceof PkiError) return digest;
    throw error;
  }
}
