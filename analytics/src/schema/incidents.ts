/** Tables of what the rules make of the observations. */

export const incidents = `CREATE TABLE IF NOT EXISTS incidents @cluster (
  id String COMMENT 'First 16 octets of a SHA-256 over kind, place and first evidence: the same facts and rules give the same id',
  version UInt64 COMMENT 'Rises with every change: the row with the highest one counts (read with FINAL)',
  rules_version UInt16 COMMENT 'Version of the rules that found it',
  kind LowCardinality(String) COMMENT 'regional-interception, local-outage, faulty-agent',
  state LowCardinality(String) COMMENT 'open, closed, withdrawn (later rules, judging again, do not find it)',
  since DateTime64(3, 'UTC') COMMENT 'received_at of the first evidence',
  opened_at DateTime64(3, 'UTC') COMMENT 'When the rules were sure enough',
  last_evidence_at DateTime64(3, 'UTC') COMMENT 'received_at of the last evidence',
  closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was closed; null while open',
  updated_at DateTime64(3, 'UTC') COMMENT 'When this row was written',
  confidence Float32 COMMENT 'How sure, from 0 to 1, by the rules',
  summary String COMMENT 'What, where, since when, and why, in one or two sentences',
  reasons Array(String) COMMENT 'Names of the signs that speak for it, for example one-key, copied-subject, simultaneous-onset, sni-triggered',
  countries Array(String) COMMENT 'Countries of the agents that are affected',
  rirs Array(String) COMMENT 'Their regions',
  asns Array(UInt32) COMMENT 'Their autonomous systems',
  agents Array(String) COMMENT 'The agents',
  server_names Array(String) COMMENT 'Names affected, at most 1,000',
  endpoints Array(String) COMMENT 'Endpoints affected, as name:port, or name:port/protocol with STARTTLS, at most 1,000',
  names_affected UInt32 COMMENT 'How many names, also beyond the 1,000',
  leaves Array(String) COMMENT 'SHA-256 of the certificates seen there and nowhere else, at most 1,000',
  leaf_spkis Array(String) COMMENT 'SHA-256 of their SubjectPublicKeyInfo, at most 1,000',
  issuers Array(String) COMMENT 'Their issuers, at most 1,000',
  genuine Array(String) COMMENT 'SHA-256 of the certificates seen elsewhere at the same time, at most 1,000',
  observations UInt64 COMMENT 'Observations that are evidence, also those without a row in incident_evidence'
) ENGINE = @ReplacingMergeTree(version)
ORDER BY id
@durable
COMMENT 'What was noticed: opens, grows and closes by itself (read with FINAL)'`;

export const incidentEvidence = `CREATE TABLE IF NOT EXISTS incident_evidence @cluster (
  incident String COMMENT 'incidents.id',
  role LowCardinality(String) COMMENT 'differs (speaks for it), agrees (what others saw at the same endpoint), control (without SNI), failed',
  observation String COMMENT 'observations.id',
  received_at DateTime64(3, 'UTC') COMMENT 'As in observations',
  agent LowCardinality(String) COMMENT 'As in observations',
  country LowCardinality(String) COMMENT 'As in observations',
  asn UInt32 COMMENT 'As in observations',
  server_name String COMMENT 'As in observations',
  address IPv6 COMMENT 'As in observations',
  port UInt16 COMMENT 'As in observations',
  leaf String COMMENT 'As in observations',
  error_class LowCardinality(String) COMMENT 'As in observations'
) ENGINE = @ReplacingMergeTree
ORDER BY (incident, role, observation)
@durable
COMMENT 'Observations behind an incident, at most 1,000 a role (read with FINAL); signed bytes of most are in evidence'`;

export const alerts = `CREATE TABLE IF NOT EXISTS alerts @cluster (
  incident String COMMENT 'incidents.id',
  state LowCardinality(String) COMMENT 'What was told: open, closed, withdrawn',
  channel LowCardinality(String) COMMENT 'webhook, mail',
  sent_at DateTime64(3, 'UTC') COMMENT 'When the other side had accepted it'
) ENGINE = @ReplacingMergeTree
ORDER BY (incident, state, channel)
@durable
COMMENT 'Alerts that were accepted, so that none is sent twice (read with FINAL)'`;
