/** What stands on the pages of the dashboard, each found by a few queries that the order of the tables makes cheap. */
import type { Store } from '../store.ts';
import { columns, selection } from './columns.ts';
import { outputClause } from './formats.ts';
import { listings } from './listings.ts';

type Row = Record<string, unknown>;

const listing = (name: string) => listings.find((one) => one.name === name)!;
const incidentColumns = selection(listing('incidents').columns);
const certificateColumns = selection(listing('certificates').columns);
const observationColumns = selection(listing('observations').columns);

const evidenceColumns = selection(
  columns('role observation received_at agent country asn server_name address:address port leaf error_class'),
);

/** Certificates by fingerprint, in no order; those that were never stored are missing. */
export const certificatesOf = (store: Store, fingerprints: readonly string[]): Promise<Row[]> =>
  fingerprints.length === 0
    ? Promise.resolve([])
    : store.query<Row>(
        `SELECT ${certificateColumns} FROM certificates AS t FINAL
          WHERE fingerprint IN {fingerprints:Array(String)} ${outputClause}`,
        { fingerprints },
      );

/** Endpoints whose chains an incident shows, and chains a side of each, at most; the rest is in the evidence. */
const endpointsShown = 4;
const chainsShown = 3;

interface Side {
  readonly role: string;
  readonly leaf: string;
  readonly observation: string;
  readonly at: number;
  readonly server_name: string;
}

/** An incident with its evidence, the chains on both sides and how it went on; undefined: there is none. */
export async function incidentPage(store: Store, id: string): Promise<Row | undefined> {
  const [incident] = await store.query<Row>(
    `SELECT ${incidentColumns} FROM incidents AS t FINAL WHERE id = {id:String} ${outputClause}`,
    { id },
  );
  if (!incident) return undefined;
  const evidence = await store.query<Row>(
    `SELECT ${evidenceColumns} FROM incident_evidence AS t FINAL WHERE incident = {id:String}
      ORDER BY received_at, observation ${outputClause}`,
    { id },
  );
  const sides = await store.query<Row & Side>(
    `WITH shown AS (SELECT server_name, address, port FROM incident_evidence FINAL
        WHERE incident = {id:String} AND role = 'differs' AND leaf != ''
        GROUP BY server_name, address, port ORDER BY uniq(agent) DESC, count() DESC, server_name, address
        LIMIT ${endpointsShown})
      SELECT role, leaf, server_name, replaceRegexpOne(toString(e.address), '^::ffff:', '') AS address, port,
        argMax(observation, received_at) AS observation, toUnixTimestamp64Milli(max(received_at)) AS at,
        count() AS observations, arraySort(groupUniqArray(toString(agent))) AS agents,
        arraySort(groupUniqArray(toString(country))) AS countries, min(received_at) AS first_seen,
        max(received_at) AS last_seen
      FROM incident_evidence AS e FINAL WHERE incident = {id:String} AND leaf != '' AND (
        (server_name, e.address, port) IN shown
        OR role = 'control' AND (e.address, port) IN (SELECT address, port FROM shown))
      GROUP BY role, leaf, server_name, e.address, port ORDER BY observations DESC, leaf
      LIMIT ${chainsShown} BY role, server_name, e.address, port ${outputClause}`,
    { id },
  );
  const chains = await chainsOf(store, sides);
  const certificates = await certificatesOf(store, [...new Set([...chains.values()].flat())]);
  const known = new Map(certificates.map((one) => [one['fingerprint'], one]));
  return {
    incident,
    evidence,
    chains: sides.map(({ at: _at, ...side }) => ({
      ...side,
      certificates: (chains.get(side.observation) ?? [side.leaf]).map(
        (fingerprint) => known.get(fingerprint) ?? { fingerprint },
      ),
    })),
    timeline: await timeline(store, id),
  };
}

/** The times let the engine read a few granules instead of the table. */
async function chainsOf(store: Store, sides: readonly Side[]): Promise<Map<string, string[]>> {
  if (sides.length === 0) return new Map();
  const rows = await store.query<{ id: string; chain: string[] }>(
    `SELECT id, chain FROM observations
      WHERE received_at IN (SELECT fromUnixTimestamp64Milli(arrayJoin({times:Array(Int64)}), 'UTC'))
        AND toStartOfHour(received_at) IN (SELECT toStartOfHour(fromUnixTimestamp64Milli(arrayJoin({times:Array(Int64)}), 'UTC')))
        AND server_name IN {names:Array(String)} AND id IN {ids:Array(String)}`,
    {
      ids: sides.map(({ observation }) => observation),
      times: sides.map(({ at }) => at),
      names: [...new Set(sides.map(({ server_name: name }) => name))],
    },
  );
  return new Map(rows.map(({ id, chain }) => [id, chain]));
}

/** Evidence by time, in about sixty steps of whole seconds. */
const timeline = (store: Store, id: string): Promise<Row[]> =>
  store.query<Row>(
    `WITH (SELECT greatest(1, intDiv(dateDiff('second', min(received_at), max(received_at)), 60))
        FROM incident_evidence WHERE incident = {id:String}) AS step
      SELECT toDateTime(intDiv(toUnixTimestamp(received_at), step) * step, 'UTC') AS time,
        countIf(role = 'differs') AS differs, countIf(role = 'agrees') AS agrees,
        countIf(role = 'control') AS control, countIf(role = 'failed') AS failed
      FROM incident_evidence FINAL WHERE incident = {id:String} GROUP BY time ORDER BY time ${outputClause}`,
    { id },
  );

export interface Endpoint {
  readonly serverName: string;
  readonly port: number;
  readonly startTls: string;
}

/** `name:port` or `name:port/protocol`, as in incidents; undefined when it is not one. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, serverName = '', port = '', startTls = ''] =
    /^([^:/]{0,253}):(\d{1,5})(?:\/([a-z0-9-]{1,32}))?$/.exec(text) ?? [];
  return port === '' ? undefined : { serverName, port: Number(port), startTls };
}

const atEndpoint =
  'server_name = {serverName:String} AND port = {port:UInt16} AND start_tls = {startTls:String}';

/** Which certificates an endpoint showed, where and when. */
export async function endpointPage(store: Store, endpoint: Endpoint): Promise<Row | undefined> {
  const parameters = { ...endpoint };
  const history = await store.query<Row & { leaf: string }>(
    `SELECT leaf, country, rir, any(e.issuer) AS issuer, any(e.leaf_key) AS leaf_key, any(e.leaf_spki) AS leaf_spki,
        arraySort(groupUniqArray(asn)) AS asns,
        arraySort(groupUniqArray(replaceRegexpOne(toString(address), '^::ffff:', ''))) AS addresses,
        min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen, uniqMerge(agents) AS perspectives
      FROM endpoint_certificates AS e WHERE ${atEndpoint}
      GROUP BY leaf, country, rir ORDER BY first_seen, leaf, country LIMIT 2000 ${outputClause}`,
    parameters,
  );
  const days = await store.query<Row>(
    `SELECT day, uniqMerge(agents) AS perspectives, uniqMerge(countries) AS countries
      FROM endpoint_vantage WHERE ${atEndpoint} GROUP BY day ORDER BY day DESC LIMIT 90`,
    parameters,
  );
  if (days.length === 0) return undefined;
  const recent = await store.query<Row & { id: string }>(
    `SELECT ${observationColumns} FROM observations AS t WHERE ${atEndpoint}
        AND received_at >= (SELECT toDateTime(max(day)) FROM endpoint_vantage WHERE ${atEndpoint})
      ORDER BY toStartOfHour(received_at) DESC, received_at DESC LIMIT 50 ${outputClause}`,
    parameters,
  );
  const certificates = await certificatesOf(store, [...new Set(history.map(({ leaf }) => leaf))]);
  const incidents = await interceptionsOf(
    store,
    recent.map(({ id }) => id),
  );
  return {
    endpoint: parameters,
    history,
    days,
    recent: recent.map((one) => ({ ...one, incident: incidents.get(one.id) ?? '' })),
    certificates,
  };
}

/** Interceptions that these observations are evidence of: what is known of them by now. */
async function interceptionsOf(store: Store, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await store.query<{ observation: string; id: string }>(
    `SELECT observation, any(incident) AS id FROM incident_evidence
      WHERE role = 'differs' AND observation IN {ids:Array(String)} AND incident IN
        (SELECT id FROM incidents FINAL WHERE kind = 'regional-interception' AND state != 'withdrawn')
      GROUP BY observation`,
    { ids },
  );
  return new Map(rows.map(({ observation, id }) => [observation, id]));
}

/** A certificate, who vouched for it, where it was seen, and whether it still is there. */
export async function certificatePage(store: Store, fingerprint: string): Promise<Row | undefined> {
  const [certificate] = await certificatesOf(store, [fingerprint]);
  if (!certificate) return undefined;
  const [seen] = await store.query<Row>(
    `SELECT min(f.first_seen) AS first_seen, max(f.last_seen) AS last_seen, uniqMerge(agents) AS perspectives,
        uniqMerge(countries) AS countries, uniqMerge(asns) AS networks
      FROM fingerprints AS f WHERE fingerprint = {fingerprint:String} GROUP BY fingerprint ${outputClause}`,
    { fingerprint },
  );
  const sightings = await store.query<Row>(
    `SELECT concat(server_name, ':', toString(port), if(start_tls = '', '', concat('/', start_tls))) AS endpoint,
        arraySort(groupUniqArrayIf(toString(country), leaf = {fingerprint:String})) AS countries,
        minIf(e.first_seen, leaf = {fingerprint:String}) AS first_seen,
        maxIf(e.last_seen, leaf = {fingerprint:String}) AS last_seen, max(e.last_seen) AS looked_at,
        argMax(leaf, e.last_seen) AS now, uniqMergeIf(agents, leaf = {fingerprint:String}) AS perspectives
      FROM endpoint_certificates AS e
      WHERE (server_name, port, start_tls) IN
        (SELECT server_name, port, start_tls FROM endpoint_certificates WHERE leaf = {fingerprint:String} LIMIT 500)
      GROUP BY server_name, port, start_tls ORDER BY last_seen DESC LIMIT 500 ${outputClause}`,
    { fingerprint },
  );
  const vouchers = await store.query<Row>(
    `SELECT ${selection(listing('vouchers').columns)} FROM vouchers AS t FINAL
      WHERE leaf = {fingerprint:String} ORDER BY not_after DESC, id LIMIT 200 ${outputClause}`,
    { fingerprint },
  );
  const incidents = await store.query<Row>(
    `SELECT id, kind, state, opened_at, summary FROM incidents FINAL
      WHERE has(leaves, {fingerprint:String}) OR has(genuine, {fingerprint:String})
      ORDER BY opened_at DESC LIMIT 20 ${outputClause}`,
    { fingerprint },
  );
  return { certificate, seen: seen ?? null, sightings, vouchers, incidents };
}

/** DER of a certificate; undefined when it was never seen. */
export async function certificateDer(store: Store, fingerprint: string): Promise<Buffer | undefined> {
  const [row] = await store.query<{ der: string }>(
    'SELECT base64Encode(der) AS der FROM certificates FINAL WHERE fingerprint = {fingerprint:String}',
    { fingerprint },
  );
  return row && Buffer.from(row.der, 'base64');
}

export const rateDimensions = ['country', 'rir', 'asn', 'agent', 'issuer', 'error_class', 'all'] as const;

export interface RatesRequest {
  readonly by: (typeof rateDimensions)[number];
  readonly country?: string | undefined;
  readonly since: number;
  readonly until: number;
  /** Seconds. */
  readonly step: number;
}

/** How many observations came to which verdict, by time and by one dimension. */
export function rates(store: Store, { by, country, since, until, step }: RatesRequest): Promise<Row[]> {
  const byHour = step >= 3600 && ['country', 'asn', 'issuer', 'all'].includes(by);
  const [table, time] = byHour || by === 'issuer' ? ['rates_by_hour', 'hour'] : ['rates_by_minute', 'minute'];
  const dimension = by === 'all' ? "''" : `toString(${by})`;
  return store.query<Row>(
    `SELECT toStartOfInterval(${time}, toIntervalSecond({step:UInt32})) AS time, ${dimension} AS name,
        sum(r.observations) AS observations, sumIf(r.observations, verdict = 'mismatch') AS mismatches,
        sumIf(r.observations, verdict = 'inconclusive') AS inconclusive, sumIf(r.observations, verdict = 'new') AS new
      FROM ${table} AS r
      WHERE ${time} >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND ${time} < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        ${country === undefined ? '' : 'AND country = {country:String}'}
      GROUP BY time, name ORDER BY time, name LIMIT 50000 ${outputClause}`,
    { since, until, step, ...(country !== undefined && { country }) },
  );
}

/** What each perspective did lately: the last hour, by minute tables. */
export const activity = (store: Store, now: number): Promise<Row[]> =>
  store.query<Row>(
    `SELECT toString(agent) AS agent, sum(r.observations) AS observations,
        sumIf(r.observations, verdict = 'mismatch') AS mismatches,
        sumIf(r.observations, verdict = 'inconclusive') AS inconclusive, max(minute) AS last_minute
      FROM rates_by_minute AS r WHERE minute >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
      GROUP BY agent ${outputClause}`,
    { since: now - 3_600_000 },
  );

/** Figures for the head of the first page. */
export async function totals(store: Store): Promise<Row> {
  const [row] = await store.query<Row>(
    `SELECT (SELECT count() FROM observations) AS observations, (SELECT count() FROM mismatches) AS mismatches,
      (SELECT count() FROM decisions) AS decisions, (SELECT count() FROM certificates) AS certificates,
      (SELECT count() FROM incidents FINAL WHERE state = 'open') AS open_incidents,
      (SELECT max(minute) FROM rates_by_minute) AS last_minute ${outputClause}`,
  );
  return row!;
}
