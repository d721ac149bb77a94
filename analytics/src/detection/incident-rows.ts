import type { IncidentEvidenceRow, IncidentRow } from '../rows.ts';
import { type EvidenceOf, type Incident, kept } from './incident.ts';
import type { Place } from './sighting.ts';

const first = <T>(values: Iterable<T>): T[] => [...values].slice(0, kept);

const byValue = (a: string | number, b: string | number) => (a < b ? -1 : a > b ? 1 : 0);

/** An incident as the table has it. */
export function incidentRow(incident: Incident, now: number): IncidentRow {
  const places = [...incident.places.values()];
  const of = <T extends string | number>(value: (place: Place) => T) =>
    // Sorted: which agent was heard first says nothing.
    first(new Set(places.map(value).sort(byValue)));
  return {
    id: incident.id,
    version: incident.version,
    rules_version: incident.rulesVersion,
    kind: incident.kind,
    state: incident.state,
    since: incident.since,
    opened_at: incident.openedAt,
    last_evidence_at: incident.lastEvidenceAt,
    closed_at: incident.closedAt,
    updated_at: now,
    confidence: incident.confidence,
    summary: incident.summary,
    reasons: incident.reasons,
    countries: of(({ country }) => country),
    rirs: of(({ rir }) => rir),
    asns: of(({ asn }) => asn),
    agents: of(({ agent }) => agent),
    server_names: first(incident.serverNames),
    endpoints: first(incident.endpoints),
    names_affected: incident.namesAffected,
    leaves: first(incident.leaves),
    leaf_spkis: first(incident.leafSpkis),
    issuers: first(incident.issuers),
    genuine: first(incident.genuine),
    observations: incident.observations,
  };
}

export const evidenceRow = (evidence: EvidenceOf): IncidentEvidenceRow => ({
  incident: evidence.incident,
  role: evidence.role,
  observation: evidence.observation,
  received_at: evidence.at,
  agent: evidence.place.agent,
  country: evidence.place.country,
  asn: evidence.place.asn,
  server_name: evidence.endpoint.serverName,
  address: evidence.endpoint.address,
  port: evidence.endpoint.port,
  leaf: evidence.leaf,
  error_class: evidence.error,
});

/** The incident that a row is about; `placeOf` knows the agents. */
export function incidentOf(row: IncidentRow, placeOf: (agent: string) => Place | undefined): Incident {
  const places = new Map<string, Place>();
  for (const agent of row.agents) {
    const place = placeOf(agent);
    if (place) places.set(agent, place);
  }
  return {
    id: row.id,
    version: row.version,
    rulesVersion: row.rules_version,
    kind: row.kind,
    state: row.state,
    since: row.since,
    openedAt: row.opened_at,
    lastEvidenceAt: row.last_evidence_at,
    closedAt: row.closed_at,
    confidence: row.confidence,
    summary: row.summary,
    reasons: row.reasons,
    places,
    serverNames: new Set(row.server_names),
    endpoints: new Set(row.endpoints),
    leaves: new Set(row.leaves),
    leafSpkis: new Set(row.leaf_spkis),
    issuers: new Set(row.issuers),
    genuine: new Set(row.genuine),
    observations: row.observations,
    namesAffected: row.names_affected,
  };
}
