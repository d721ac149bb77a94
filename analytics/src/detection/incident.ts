import { createHash } from 'node:crypto';
import { type EndpointName, type Place } from './sighting.ts';

export type IncidentKind = 'regional-interception' | 'local-outage' | 'faulty-agent';

/** What was noticed; the columns of the table `incidents`, with sets where it grows. */
export interface Incident {
  readonly id: string;
  version: number;
  readonly rulesVersion: number;
  readonly kind: IncidentKind;
  state: 'open' | 'closed' | 'withdrawn';
  readonly since: number;
  readonly openedAt: number;
  lastEvidenceAt: number;
  closedAt: number | null;
  confidence: number;
  summary: string;
  reasons: readonly string[];
  readonly places: Map<string, Place>;
  readonly serverNames: Set<string>;
  readonly endpoints: Set<string>;
  readonly leaves: Set<string>;
  readonly leafSpkis: Set<string>;
  readonly issuers: Set<string>;
  readonly genuine: Set<string>;
  observations: number;
  /** Names seen beyond those kept. */
  namesAffected: number;
}

/** How many names, endpoints, certificates and evidence rows a role an incident keeps. */
export const kept = 1000;

export interface EvidenceOf {
  readonly incident: string;
  readonly role: 'differs' | 'agrees' | 'control' | 'failed';
  readonly observation: string;
  readonly at: number;
  readonly place: Place;
  readonly endpoint: EndpointName;
  readonly leaf: string;
  readonly error: string;
}

export function open(
  kind: IncidentKind,
  where: string,
  { since, now, rulesVersion }: { since: number; now: number; rulesVersion: number },
): Incident {
  const id = createHash('sha256').update(`${kind}\0${where}\0${since}`).digest('hex').slice(0, 32);
  return {
    id,
    version: now,
    rulesVersion,
    kind,
    state: 'open',
    since,
    openedAt: now,
    lastEvidenceAt: now,
    closedAt: null,
    confidence: 0,
    summary: '',
    reasons: [],
    places: new Map(),
    serverNames: new Set(),
    endpoints: new Set(),
    leaves: new Set(),
    leafSpkis: new Set(),
    issuers: new Set(),
    genuine: new Set(),
    observations: 0,
    namesAffected: 0,
  };
}

/** @returns whether it was not there before */
export function keep<T>(set: Set<T>, value: T): boolean {
  if (set.has(value) || set.size >= kept) return false;
  set.add(value);
  return true;
}

export const endpointText = ({ serverName, address, port, startTls }: EndpointName): string =>
  `${serverName || address}:${port}${startTls && `/${startTls}`}`;

/** Names and issuers may have ten thousand characters. */
const cut = (text: string) => (text.length > 100 ? `${text.slice(0, 100)}…` : text);

const list = (values: Iterable<string | number>, most = 3) => {
  const all = [...new Set(values)];
  const shown = all
    .slice(0, most)
    .map((value) => cut(String(value)))
    .join(', ');
  return all.length > most ? `${shown} and ${all.length - most} more` : shown;
};

/** What, where and since when, in a sentence or two. */
export function summarise(incident: Incident): string {
  const { kind, reasons, places: byAgent, serverNames, issuers } = incident;
  const places = [...byAgent.values()];
  const where = `${list(places.map(({ country }) => country))} (${list(places.map(({ asn }) => `AS${asn}`))})`;
  const since = `since ${new Date(incident.since).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const agents = list(byAgent.keys());
  if (kind === 'regional-interception') {
    const show = serverNames.size === 1 ? 'shows' : 'show';
    return `In ${where}, ${list(serverNames)} ${show} a certificate by ${list(issuers, 1)} that nobody elsewhere sees, ${since}.`;
  }
  if (kind === 'local-outage')
    return `Agents in ${where} get no answer where others do, ${since}: ${agents}.`;
  if (reasons.includes('clock')) return `The clock of ${agents} in ${where} is off, ${since}.`;
  const does = reasons.includes('fails-alone')
    ? 'gets no answer where others do'
    : 'sees what nobody else sees';
  return `Only ${agents} in ${where} ${does}, ${since}: faulty, lying, or on a path of its own.`;
}
