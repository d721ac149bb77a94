import type { IncidentRow, Verdict } from '../rows.ts';
import type { Store } from '../store.ts';
import { type Incident } from './incident.ts';
import { incidentOf } from './incident-rows.ts';
import type { Place, Sighting } from './sighting.ts';

/** The store's rows as the rules want them. */

const columns = `o.id AS id, toUnixTimestamp64Milli(o.received_at) AS at,
  toUnixTimestamp64Milli(o.observed_at) AS observedAt, o.agent AS agent, o.country AS country, o.rir AS rir,
  o.asn AS asn, toString(o.address) AS address, o.target_asn AS targetAsn, o.port AS port,
  o.server_name AS serverName, o.start_tls AS startTls, o.key_type AS keyType,
  o.possession_proven AS proven, o.error_class AS error, o.leaf AS leaf, o.leaf_spki AS spki, o.issuer AS issuer`;

type Fact = Omit<Sighting, 'subject' | 'dnsNames'>;
type Names = Pick<Sighting, 'subject' | 'dnsNames'>;

const asked = 500;

/** Subject and names of certificates, asked for once each. */
export class CertificateNames {
  readonly #store: Store;
  readonly #known = new Map<string, Names>();
  readonly #capacity: number;

  constructor(store: Store, capacity = 100_000) {
    this.#store = store;
    this.#capacity = capacity;
  }

  async complete<F extends Fact>(facts: readonly F[]): Promise<(F & Names)[]> {
    const missing = [...new Set(facts.map(({ leaf }) => leaf))].filter(
      (leaf) => leaf !== '' && !this.#known.has(leaf),
    );
    if (this.#known.size + missing.length > this.#capacity) this.#known.clear();
    for (let i = 0; i < missing.length; i += asked) {
      const rows = await this.#store.query<Names & { leaf: string }>(
        `SELECT fingerprint AS leaf, any(subject) AS subject, any(dns_names) AS dnsNames FROM certificates
         WHERE fingerprint IN {leaves:Array(String)} GROUP BY fingerprint`,
        { leaves: missing.slice(i, i + asked) },
      );
      for (const { leaf, ...names } of rows) this.#known.set(leaf, names);
    }
    return facts.map((fact) => ({ ...fact, ...(this.#known.get(fact.leaf) ?? nameless) }));
  }
}

const nameless: Names = { subject: '', dnsNames: [] };

export interface Judged extends Sighting {
  /** Verdict stored with the observation. */
  readonly stored: Verdict;
  /** The latest one, by the highest version of the rules up to the one asked about. */
  readonly latest: Verdict;
}

/** Sightings received from one moment up to another, in the order in which they came. */
export async function sightingsBetween(
  store: Store,
  names: CertificateNames,
  { from, to, rulesVersion }: { from: number; to: number; rulesVersion: number },
): Promise<Judged[]> {
  const between = (time: string) => `${time} >= fromUnixTimestamp64Milli({from:Int64})
    AND ${time} < fromUnixTimestamp64Milli({to:Int64})`;
  const facts = await store.query<Fact & Pick<Judged, 'stored' | 'latest'>>(
    `SELECT ${columns}, o.verdict AS stored, if(v.version >= o.rules_version, v.verdict, o.verdict) AS latest
     FROM observations AS o LEFT JOIN (
       SELECT observation, max(rules_version) AS version, argMax(verdict, rules_version) AS verdict
       FROM verdicts FINAL WHERE ${between('received_at')} AND rules_version <= {rulesVersion:UInt16}
       GROUP BY observation
     ) AS v ON v.observation = o.id
     WHERE ${between('o.received_at')}
     ORDER BY o.received_at, o.id`,
    { from, to, rulesVersion },
  );
  return names.complete(facts);
}

/** The last sight of each endpoint by each agent since then, in order; the newest where there are too many. */
export async function lastSights(store: Store, from: number, most: number): Promise<Sighting[]> {
  const facts = await store.query<Fact>(
    `SELECT * FROM (
       SELECT ${columns} FROM observations AS o
       WHERE o.received_at >= fromUnixTimestamp64Milli({from:Int64}) AND o.possession_proven
       ORDER BY o.received_at DESC
       LIMIT 1 BY o.server_name, o.address, o.port, o.start_tls, o.key_type, o.agent
       LIMIT {most:UInt32}
     ) ORDER BY at, id`,
    { from, most },
  );
  return new CertificateNames(store).complete(facts);
}

/** A key that an endpoint showed to a country, when first and when last. */
export interface PastKey extends Sighting {
  readonly lastAt: number;
}

/** Keys of endpoints by country since then, in the order of their first sight. */
export async function pastKeys(store: Store, from: number, most: number): Promise<PastKey[]> {
  const rows = await store.query<Fact & { lastAt: number }>(
    `SELECT * FROM (
       SELECT '' AS id, toUnixTimestamp64Milli(min(e.first_seen)) AS at, at AS observedAt, '' AS agent,
         e.country AS country, e.rir AS rir, e.asn AS asn, toString(e.address) AS address, 0 AS targetAsn,
         e.port AS port, e.server_name AS serverName, e.start_tls AS startTls, e.key_type AS keyType,
         true AS proven, '' AS error, e.leaf AS leaf, any(e.leaf_spki) AS spki, any(e.issuer) AS issuer,
         toUnixTimestamp64Milli(max(e.last_seen)) AS lastAt
       FROM endpoint_certificates AS e
       GROUP BY country, rir, asn, e.address, port, serverName, startTls, keyType, leaf
       HAVING max(e.last_seen) >= fromUnixTimestamp64Milli({from:Int64})
       ORDER BY lastAt DESC LIMIT {most:UInt32}
     ) ORDER BY at`,
    { from, most },
  );
  return new CertificateNames(store).complete(rows);
}

const incidentColumns = `* REPLACE (
    toUnixTimestamp64Milli(since) AS since, toUnixTimestamp64Milli(opened_at) AS opened_at,
    toUnixTimestamp64Milli(last_evidence_at) AS last_evidence_at,
    if(isNull(closed_at), NULL, toUnixTimestamp64Milli(assumeNotNull(closed_at))) AS closed_at,
    toUnixTimestamp64Milli(updated_at) AS updated_at)`;

export async function incidentsSince(
  store: Store,
  from: number,
  placeOf: (agent: string) => Place | undefined,
): Promise<Incident[]> {
  const rows = await store.query<IncidentRow>(
    `SELECT ${incidentColumns} FROM incidents AS i FINAL
     WHERE i.state = 'open' OR i.since >= fromUnixTimestamp64Milli({from:Int64}) ORDER BY i.since`,
    { from },
  );
  return rows.map((row) => incidentOf(row, placeOf));
}
