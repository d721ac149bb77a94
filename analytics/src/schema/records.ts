/** Tables of what coordinators and clients report. */

export const decisions = `CREATE TABLE IF NOT EXISTS decisions @cluster (
  id String COMMENT 'First 16 octets of a SHA-256 over place in the stream and record' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the record' CODEC(Delta, ZSTD(1)),
  decided_at DateTime64(3, 'UTC') COMMENT 'When it was decided, by the clock of the coordinator' CODEC(Delta, ZSTD(1)),
  nonce String COMMENT 'Nonce of the draw; empty when refused before' CODEC(ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that decided',
  status LowCardinality(String) COMMENT 'issued, on-hold, mismatch, inconclusive, refused',
  reason LowCardinality(String) COMMENT 'Reason code when refused',
  detail String COMMENT 'The reason in words' CODEC(ZSTD(1)),
  target Nested(
    address IPv6,
    port UInt16,
    server_name String,
    start_tls LowCardinality(String),
    key_type LowCardinality(String)
  ) COMMENT 'Endpoints asked about; members as in observations',
  chain Array(String) COMMENT 'SHA-256 of leaf and intermediates asked about' CODEC(ZSTD(1)),
  perspective Nested(
    agent LowCardinality(String),
    address IPv6,
    verdict LowCardinality(String),
    code LowCardinality(String)
  ) COMMENT 'What each perspective counted as: match, mismatch, inconclusive with its code, pending',
  voucher String COMMENT 'vouchers.id; empty unless issued' CODEC(ZSTD(1)),
  requester IPv6 COMMENT 'Address of the requester; :: when not recorded',
  authenticated Bool COMMENT 'The requester proved to hold the key of the certificate',
  audit_sequence UInt64 COMMENT 'Position in the audit log of the signer; 0: none'
) ENGINE = @MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), coordinator, received_at)
@durable
COMMENT 'One row a decision of a coordinator'`;

export const vouchers = `CREATE TABLE IF NOT EXISTS vouchers @cluster (
  id String COMMENT 'SHA-256 of the content of the CMS, which is what a voucher is identified by' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the decision' CODEC(Delta, ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that handed it out',
  serial String COMMENT 'Serial number' CODEC(ZSTD(1)),
  produced_at DateTime64(0, 'UTC') COMMENT 'Start of validity',
  not_after DateTime64(0, 'UTC') COMMENT 'End of validity',
  address Array(IPv6) COMMENT 'One or two addresses vouched for',
  port UInt16 COMMENT 'Port vouched for',
  server_name String COMMENT 'Name the perspectives asked for; not part of the voucher' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key of the certificate: rsa, ecdsa, any',
  chain Array(String) COMMENT 'SHA-256 of leaf and intermediates' CODEC(ZSTD(1)),
  leaf String COMMENT 'First of chain' CODEC(ZSTD(1)),
  trust_contexts Array(LowCardinality(String)) COMMENT 'Trust contexts the chain is good for',
  der_base64 String EPHEMERAL COMMENT 'How der is inserted',
  der String DEFAULT base64Decode(der_base64) COMMENT 'CMS ContentInfo as handed out' CODEC(ZSTD(1))
) ENGINE = @ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (leaf, id)
@durable
COMMENT 'Each voucher handed out, once (read with FINAL); outstanding while not_after is ahead'`;

export const mismatches = `CREATE TABLE IF NOT EXISTS mismatches @cluster (
  id String COMMENT 'First 16 octets of a SHA-256 over place in the stream and record' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the record' CODEC(Delta, ZSTD(1)),
  seen_at DateTime64(3, 'UTC') COMMENT 'When it was seen, by the clock of the coordinator' CODEC(Delta, ZSTD(1)),
  nonce String COMMENT 'Nonce of the draw' CODEC(ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that reported',
  agent LowCardinality(String) COMMENT 'Agent that saw the other chain',
  country LowCardinality(String) COMMENT 'Country of the agent, as registered; empty: agent unknown here',
  rir LowCardinality(String) COMMENT 'Region of the agent, as registered',
  asn UInt32 COMMENT 'Autonomous system of the agent, as registered; 0: agent unknown here',
  address IPv6 COMMENT 'Address probed',
  port UInt16 COMMENT 'Port probed',
  server_name String COMMENT 'Name sent as SNI' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key asked for: rsa, ecdsa, any',
  expected Array(String) COMMENT 'SHA-256 of each certificate the requester claims' CODEC(ZSTD(1)),
  observed Array(String) COMMENT 'SHA-256 of each certificate seen' CODEC(ZSTD(1)),
  observation String COMMENT 'observations.id of the evidence; empty: none attached' CODEC(ZSTD(1)),
  evidence_valid Bool COMMENT 'The evidence is signed by that agent and answers that draw'
) ENGINE = @MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), server_name, received_at)
@durable
COMMENT 'One row for each chain seen that was not the one a requester claimed, possession proven. Who lies, requester or network, it does not say'`;

export const clientReports = `CREATE TABLE IF NOT EXISTS client_reports @cluster (
  id String COMMENT 'First 16 octets of a SHA-256 over place in the stream and record' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the report' CODEC(Delta, ZSTD(1)),
  seen_at DateTime64(3, 'UTC') COMMENT 'When the check failed, by the clock of the client, whole minutes' CODEC(Delta, ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that took the report',
  report String COMMENT 'SHA-256 over what the client chose: the same failure has the same one' CODEC(ZSTD(1)),
  times UInt64 COMMENT 'How often the same was reported within a day; it comes again at 2, 4, 8 …: max() it by report',
  mode LowCardinality(String) COMMENT 'report-only, warn, enforce',
  codes Array(LowCardinality(String)) COMMENT 'Why the check failed: failure codes of the client library',
  address IPv6 COMMENT 'Address the client was connected to',
  port UInt16 COMMENT 'Port',
  server_name String COMMENT 'Host name' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  chain Array(String) COMMENT 'SHA-256 of each certificate as the server sent them; DER in certificates' CODEC(ZSTD(1)),
  leaf String COMMENT 'First of chain; empty: none' CODEC(ZSTD(1)),
  vas Array(LowCardinality(String)) COMMENT 'VAs the client had chosen, as named in its list',
  vouchers Array(String) COMMENT 'vouchers.id of the vouchers that failed; of one that cannot be read, the SHA-256 of all of it' CODEC(ZSTD(1))
) ENGINE = @MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), server_name, received_at)
@durable
COMMENT 'Failed checks that clients reported; nobody signed them, so they are never evidence by themselves'`;

export const clientStatistics = `CREATE TABLE IF NOT EXISTS client_statistics @cluster (
  id String COMMENT 'First 16 octets of a SHA-256 over place in the stream and record' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the report' CODEC(Delta, ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that took the report',
  day Date COMMENT 'Day that it is about, UTC',
  count Nested(
    code LowCardinality(String),
    checks UInt64
  ) COMMENT 'Checks of one client on that day, by accepted or failure code'
) ENGINE = @MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (day, received_at)
@durable
COMMENT 'How many checks of clients came to what; unsigned'`;

export const decisionSigner = `ALTER TABLE decisions @cluster ADD COLUMN IF NOT EXISTS
  signer LowCardinality(String) COMMENT 'SPIFFE ID of the signer of the voucher, whose audit log audit_sequence counts in; empty unless issued, and in rows of before there was this column' AFTER audit_sequence`;
