/** Certificates of the log, as JSON and for people. Names of strangers are made printable. */
import { toPem } from '@mecai/pki';
import type { Delivery, GetCertificateResponse, LoggedCertificate } from '@mecai/proto/coordinator';

/** Names written out for people; JSON has all. */
const maxNames = 10;

/** Hashes in hexadecimal, times in ISO 8601. */
export const plainCertificate = (one: LoggedCertificate) => ({
  sha256: hex(one.sha256),
  state: one.state,
  ...(one.state === 'held' && { holdUntil: iso(one.holdUntil) }),
  issuer: one.issuer,
  names: one.names,
  firstRequest: iso(one.firstRequest),
  notBefore: iso(one.notBefore),
  notAfter: iso(one.notAfter),
});

export const plainCase = ({ certificate, ...rest }: GetCertificateResponse) => ({
  ...(certificate && plainCertificate(certificate)),
  spkiSha256: hex(rest.spkiSha256),
  pem: toPem(rest.der, 'CERTIFICATE'),
  endpoints: rest.endpoints.map((one) => ({
    ...one,
    firstRequest: iso(one.firstRequest),
    lastRequest: iso(one.lastRequest),
  })),
  events: rest.events.map(({ at, kind, detail }) => ({
    at: iso(at),
    kind,
    detail: plainDetail(detail),
  })),
  endorsements: rest.endorsements.map((one) => ({ ...one, at: iso(one.at) })),
  deliveries: rest.deliveries.map(plainDelivery),
});

export const plainDelivery = ({ enqueuedAt, nextAt, ...rest }: Delivery) => ({
  ...rest,
  enqueuedAt: iso(enqueuedAt),
  ...(rest.state === 'waiting' && { nextAt: iso(nextAt) }),
});

export const summaryWords = (one: LoggedCertificate): string =>
  [
    hex(one.sha256),
    `    ${one.state === 'held' ? `held until ${iso(one.holdUntil)}` : one.state}, first request ${iso(one.firstRequest)}`,
    `    ${namesWords(one.names)}`,
    `    issuer ${printable(one.issuer)}`,
  ].join('\n');

export function caseWords({ certificate, ...rest }: GetCertificateResponse): string {
  const lines = certificate ? [summaryWords(certificate)] : [];
  for (const { address, port, serverName, lastRequest } of rest.endpoints) {
    lines.push(`    seen at ${address} port ${port} as ${printable(serverName)}, last ${iso(lastRequest)}`);
  }
  for (const { at, kind, detail } of rest.events) {
    lines.push(`    ${iso(at)} ${kind} ${printable(JSON.stringify(plainDetail(detail)))}`);
  }
  for (const { at, kind, authority } of rest.endorsements) {
    lines.push(`    ${iso(at)} ${kind} by ${printable(authority)}`);
  }
  for (const { state, recipient, source, tries } of rest.deliveries) {
    lines.push(`    notice to ${printable(recipient)} (${source}): ${state}, ${triesWords(tries)}`);
  }
  return lines.join('\n');
}

/** Of an event, with its time in ISO 8601 as well; the end of what never ends on its own is left out. */
function plainDetail(detail: string): Record<string, unknown> {
  const { until, ...rest }: Record<string, unknown> = JSON.parse(detail);
  const ends = typeof until === 'number' && Math.abs(until) <= latestTime;
  return ends ? { ...rest, until: iso(until) } : rest;
}

/** What a Date can hold, milliseconds. */
const latestTime = 8.64e15;

export const triesWords = (tries: number): string => (tries === 1 ? '1 try' : `${tries} tries`);

function namesWords(names: readonly string[]): string {
  const shown = names.slice(0, maxNames).map(printable).join(' ');
  return names.length > maxNames ? `${shown} and ${names.length - maxNames} more` : shown;
}

export const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');
export const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
