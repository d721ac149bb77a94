/**
 * Tables kept up to date by materialised views. Those that count are by the hour or minute, so that hours in
 * which a crash left a batch out can be counted anew (`aggregates.ts`); the others can take a row again.
 */

const ratesByMinute = `CREATE TABLE IF NOT EXISTS rates_by_minute @cluster (
  minute DateTime('UTC') COMMENT 'Start of the minute, by received_at' CODEC(Delta, ZSTD(1)),
  agent LowCardinality(String) COMMENT 'Perspective',
  country LowCardinality(String) COMMENT 'Its country',
  rir LowCardinality(String) COMMENT 'Its region',
  asn UInt32 COMMENT 'Its autonomous system',
  verdict LowCardinality(String) COMMENT 'As in observations',
  error_class LowCardinality(String) COMMENT 'As in observations',
  observations UInt64 COMMENT 'How many, weights included: sum() it'
) ENGINE = @SummingMergeTree(observations)
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, country, asn, agent, rir, verdict, error_class)
@derived
COMMENT 'Observations by minute, perspective, verdict and error'`;

export const ratesByMinuteSelect = `SELECT toStartOfMinute(received_at) AS minute, agent, country, rir, asn,
  verdict, error_class, sum(weight) AS observations
FROM observations GROUP BY minute, agent, country, rir, asn, verdict, error_class`;

const ratesByHour = `CREATE TABLE IF NOT EXISTS rates_by_hour @cluster (
  hour DateTime('UTC') COMMENT 'Start of the hour, by received_at' CODEC(Delta, ZSTD(1)),
  country LowCardinality(String) COMMENT 'Country of the perspectives',
  asn UInt32 COMMENT 'Autonomous system of the perspectives',
  issuer String COMMENT 'Issuer of the first certificate; empty: none seen' CODEC(ZSTD(1)),
  verdict LowCardinality(String) COMMENT 'As in observations',
  observations UInt64 COMMENT 'How many, weights included: sum() it'
) ENGINE = @SummingMergeTree(observations)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, country, asn, issuer, verdict)
@derived
COMMENT 'Observations by hour, country, autonomous system, issuer and verdict'`;

export const ratesByHourSelect = `SELECT toStartOfHour(received_at) AS hour, country, asn, issuer, verdict,
  sum(weight) AS observations
FROM observations GROUP BY hour, country, asn, issuer, verdict`;

const fingerprints = `CREATE TABLE IF NOT EXISTS fingerprints @cluster (
  fingerprint String COMMENT 'SHA-256 of a certificate at any position of a chain' CODEC(ZSTD(1)),
  first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'min() it',
  last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'max() it',
  agents AggregateFunction(uniq, LowCardinality(String)) COMMENT 'Distinct perspectives: uniqMerge() it',
  countries AggregateFunction(uniq, LowCardinality(String)) COMMENT 'Distinct countries of perspectives: uniqMerge() it',
  asns AggregateFunction(uniq, UInt32) COMMENT 'Distinct autonomous systems of perspectives: uniqMerge() it'
) ENGINE = @AggregatingMergeTree
ORDER BY fingerprint
@derived
COMMENT 'First and last sight of each certificate, and from how many places'`;

export const fingerprintsSelect = `SELECT arrayJoin(chain) AS fingerprint, min(received_at) AS first_seen,
  max(received_at) AS last_seen, uniqState(agent) AS agents, uniqState(country) AS countries, uniqState(asn) AS asns
FROM observations GROUP BY fingerprint`;

const endpointCertificates = `CREATE TABLE IF NOT EXISTS endpoint_certificates @cluster (
  server_name String COMMENT 'Name sent as SNI; empty: none sent' CODEC(ZSTD(1)),
  port UInt16 COMMENT 'Port probed',
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol',
  key_type LowCardinality(String) COMMENT 'Kind of key asked for',
  leaf String COMMENT 'SHA-256 of the first certificate' CODEC(ZSTD(1)),
  country LowCardinality(String) COMMENT 'Country of the perspectives',
  rir LowCardinality(String) COMMENT 'Their region',
  asn UInt32 COMMENT 'Their autonomous system',
  address IPv6 COMMENT 'Address probed',
  leaf_spki SimpleAggregateFunction(any, String) COMMENT 'As in observations: any() it' CODEC(ZSTD(1)),
  issuer SimpleAggregateFunction(any, String) COMMENT 'As in observations: any() it' CODEC(ZSTD(1)),
  leaf_key SimpleAggregateFunction(any, String) COMMENT 'As in observations: any() it' CODEC(ZSTD(1)),
  first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'min() it',
  last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'max() it',
  agents AggregateFunction(uniq, LowCardinality(String)) COMMENT 'Distinct perspectives: uniqMerge() it'
) ENGINE = @AggregatingMergeTree
ORDER BY (server_name, port, start_tls, key_type, leaf, country, rir, asn, address)
@derived
COMMENT 'History of the certificates of an endpoint by country and network'`;

export const endpointCertificatesSelect = `SELECT server_name, port, start_tls, key_type, leaf, country, rir, asn, address,
  any(o.leaf_spki) AS leaf_spki, any(o.issuer) AS issuer, any(toString(o.leaf_key)) AS leaf_key,
  min(received_at) AS first_seen, max(received_at) AS last_seen, uniqState(agent) AS agents
FROM observations AS o WHERE possession_proven
GROUP BY server_name, port, start_tls, key_type, leaf, country, rir, asn, address`;

const endpointVantage = `CREATE TABLE IF NOT EXISTS endpoint_vantage @cluster (
  server_name String COMMENT 'Name sent as SNI; empty: none sent' CODEC(ZSTD(1)),
  address IPv6 COMMENT 'Address probed',
  port UInt16 COMMENT 'Port probed',
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol',
  day Date COMMENT 'Day of received_at, UTC',
  agents AggregateFunction(uniq, LowCardinality(String)) COMMENT 'Distinct perspectives: uniqMerge() it',
  countries AggregateFunction(uniq, LowCardinality(String)) COMMENT 'Distinct countries: uniqMerge() it',
  asns AggregateFunction(uniq, UInt32) COMMENT 'Distinct autonomous systems: uniqMerge() it'
) ENGINE = @AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (server_name, address, port, start_tls, day)
@derived
COMMENT 'Distinct vantage points of each endpoint by day'`;

export const endpointVantageSelect = `SELECT server_name, address, port, start_tls, toDate(received_at) AS day,
  uniqState(agent) AS agents, uniqState(country) AS countries, uniqState(asn) AS asns
FROM observations GROUP BY server_name, address, port, start_tls, day`;

const view = (table: string, select: string) =>
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ${table}_view @cluster TO ${table} AS ${select}`;

export const aggregates: readonly string[] = [
  ratesByMinute,
  view('rates_by_minute', ratesByMinuteSelect),
  ratesByHour,
  view('rates_by_hour', ratesByHourSelect),
  fingerprints,
  view('fingerprints', fingerprintsSelect),
  endpointCertificates,
  view('endpoint_certificates', endpointCertificatesSelect),
  endpointVantage,
  view('endpoint_vantage', endpointVantageSelect),
];

const endpoints = `CREATE TABLE IF NOT EXISTS endpoints @cluster (
  server_name String COMMENT 'Name sent as SNI; empty: none sent' CODEC(ZSTD(1)),
  port UInt16 COMMENT 'Port probed',
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol',
  first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'min() it',
  last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'max() it',
  certificates AggregateFunction(uniqCombined(12), String) COMMENT 'Distinct first certificates: uniqCombinedMerge(12)() it'
) ENGINE = @AggregatingMergeTree
ORDER BY (server_name, port, start_tls)
@derived
COMMENT 'Endpoints at which certificates were seen, from when to when, and how many'`;

const endpointsSelect = `SELECT server_name, port, start_tls, min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen,
  uniqCombinedState(12)(leaf) AS certificates
FROM endpoint_certificates AS e GROUP BY server_name, port, start_tls`;

/** Made of what goes into endpoint_certificates, which is less than what goes into observations. */
export const endpointSummary: readonly string[] = [
  endpoints,
  view('endpoints', endpointsSelect),
  `INSERT INTO endpoints SETTINGS insert_deduplicate = 0 ${endpointsSelect}`,
];
