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

const list = (values: Iterable<string | number>, most = 3) => {
  const all = [...new Set(values)];
  const shown = all.slice(0, most).join(', ');
  return all.length > most ? `${shown} and ${all.length - most} more` : shown;
};

export function summarise(incident: Incident): string {
  const places = [...incident.places.values()];
  const where = `${list(places.map(({ country }) => country))} (${list(places.map(({ asn }) => `AS${asn}`))})`;
  const since = new Date(incident.since).toISOString().slice(0, 19).replace('T', ' ');
  switch (incident.kind) {
    case 'regional-interception':
      return (
        `In ${where}, ${list(incident.serverNames)} show${incident.serverNames.size === 1 ? 's' : ''} a certificate by ` +
        `${list(incident.issuers, 1)} that nobody elsewhere sees, since ${since} UTC.`
      );
    case 'local-outage':
      return `Agents in ${where} get no answer where others do, since ${since} UTC: ${list(incident.places.keys())}.`;
    case 'faulty-agent':
      return incident.reasons.includes('clock')
        ? `The clock of ${list(incident.places.keys())} in ${where} is off, since ${since} UTC.`
        : `Only ${list(incident.places.keys())} in ${where} ` +
            `${incident.reasons.includes('fails-alone') ? 'gets no answer where others do' : 'sees what nobody else sees'}, ` +
            `since ${since} UTC: faulty, lying, or on a path of its own.`;
  }
}
