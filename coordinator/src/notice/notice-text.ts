/** What a mail says, in words. Everything from certificates and requests is made printable first. */
import { createHash, createPublicKey } from 'node:crypto';
import { formatAddress } from '@mecai/addresses';
import { type Certificate, nameText, parseCertificate, subjectAltNames, toPem } from '@mecai/pki';
import type { PerspectiveOutcome } from '@mecai/voucher';
import { asciiName, unicodeName } from './names.ts';
import { type Notice, sha256Hex } from './notice.ts';

/** Names written out; the certificate below has them all. */
const maxNames = 50;

/**
 * `certificate for [hostname]: [fingerprint]`, as the proposal words it: the first name, and SHA-256 in lower-case
 * hexadecimal, which mail filters can be told.
 */
export function noticeSubject({ chain, endpoint }: Notice): string {
  const leaf = parseCertificate(chain[0]!);
  const [first = endpoint.serverName] = subjectAltNames(leaf).dns;
  return `certificate for ${asciiName(first)}: ${sha256Hex(leaf.der)}`;
}

/** @param publicUrl where this voucher authority is reached, without a final slash */
export function noticeText(notice: Notice, publicUrl: string): string {
  const leaf = parseCertificate(notice.chain[0]!);
  const fingerprint = sha256Hex(leaf.der);
  const { dns } = subjectAltNames(leaf);
  return [
    ...opening(notice, publicUrl),
    '',
    `fingerprint  ${fingerprint} (SHA-256)`,
    `issuer       ${nameText(leaf.issuer)}`,
    `subject      ${nameText(leaf.subject)}`,
    `serial       ${Buffer.from(leaf.serial).toString('hex')}`,
    `valid from   ${time(leaf.notBefore)}`,
    `valid until  ${time(leaf.notAfter)}`,
    `public key   ${keyText(leaf)}`,
    `names        ${dns.length}:`,
    ...namesText(dns),
    '',
    ...request(notice),
    '',
    'What each of our perspectives saw at that endpoint:',
    ...notice.perspectives.map(perspectiveText),
    '',
    ...consequence(notice),
    `To object, prove that you control the domain:`,
    `  ${publicUrl}/certificates/${fingerprint}`,
    'Tell the CA that issued it as well.',
    '',
    toPem(leaf.der, 'CERTIFICATE'),
  ].join('\n');
}

function opening({ kind }: Notice, publicUrl: string): string[] {
  const us = `The voucher authority at ${new URL(publicUrl).host}`;
  return kind === 'first-sight'
    ? [`${us} was asked for a voucher,`, 'for a certificate that it has not seen before.']
    : [`${us} has seen a certificate that it knows`, 'where it has not seen it before.'];
}

function consequence({ kind, holdUntil }: Notice): string[] {
  if (kind === 'unexpected-address') return ['If this server is yours, nothing need be done.'];
  const held =
    holdUntil === undefined
      ? 'It is not on hold: vouchers are issued from now on.'
      : `It is on hold: no voucher is issued before ${time(new Date(holdUntil))}.`;
  return [held, 'If the certificate is yours, nothing need be done. If it is not, object.'];
}

function request({ endpoint, requester, authenticated, seenAt }: Notice): string[] {
  const { addresses, port, serverName, startTls } = endpoint;
  const proof = authenticated
    ? 'proved to hold the key of the certificate'
    : 'did not prove to hold the key of the certificate';
  return [
    `requester    ${formatAddress(requester)}, which ${proof}`,
    `endpoint     ${addresses.map(formatAddress).join(' and ')} port ${port}, as ${asciiName(serverName)}${startTls === '' ? '' : `, STARTTLS for ${asciiName(startTls)}`}`,
    `at           ${time(new Date(seenAt))}`,
  ];
}

function namesText(names: readonly string[]): string[] {
  const lines = names.slice(0, maxNames).map((name) => {
    // At the end of a line, where a script from right to left turns nothing else around.
    const unicode = unicodeName(name);
    return `  ${asciiName(name)}${unicode === undefined ? '' : `  in its own script: ${unicode}`}`;
  });
  if (names.length <= maxNames) return lines;
  return [...lines, `  and ${names.length - maxNames} more, all of them in the certificate below`];
}

const rirNames: Readonly<Record<string, string>> = {
  afrinic: 'AFRINIC',
  apnic: 'APNIC',
  arin: 'ARIN',
  lacnic: 'LACNIC',
  ripencc: 'RIPE NCC',
};

const verdictWords = {
  match: 'this certificate',
  mismatch: 'ANOTHER certificate',
  inconclusive: 'nothing',
  pending: 'no answer yet',
} as const;

function perspectiveText({ country, rir, asn, ipv4, ipv6 }: PerspectiveOutcome): string {
  const outcomes = Object.entries({ IPv4: ipv4, IPv6: ipv6 }).flatMap(([family, outcome]) => {
    if (!outcome) return [];
    const { verdict, code } = outcome;
    return `${verdictWords[verdict]} over ${family}${code === undefined || code === '' ? '' : ` (${asciiName(code)})`}`;
  });
  return `  ${asciiName(country)}, ${rirNames[rir] ?? asciiName(rir)}, AS${asn}: ${outcomes.join('; ')}`;
}

function keyText({ spki }: Certificate): string {
  const digest = `SHA-256 ${createHash('sha256').update(spki).digest('hex')}`;
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
    const size = modulusLength === undefined ? (namedCurve ?? '') : `${modulusLength} bits`;
    return `${[key.asymmetricKeyType ?? '', size].filter((part) => part !== '').join(' ')}, ${digest}`;
  } catch {
    return digest;
  }
}

const time = (date: Date): string => `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
