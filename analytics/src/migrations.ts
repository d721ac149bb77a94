/**
 * The schema, as numbered steps that only go forward. A step that was released is never changed: what follows
 * from it is a new one. Each statement may be run again, since a step may end half-way.
 *
 * Digests, nonces and keys are lower-case hexadecimal text. An IPv4 address is stored as ::ffff:a.b.c.d. Times
 * are UTC. Rows are kept apart by `id`: what is delivered or published twice is stored once.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly statements: readonly string[];
}

// Written to disk before NATS is told; a repeated insert with the same token does nothing.
const durable = `SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
  non_replicated_deduplication_window = 1000`;

const observations = `CREATE TABLE IF NOT EXISTS observations (
  id String COMMENT 'First 16 octets of the SHA-256 of the bytes the agent signed' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the observation' CODEC(Delta, ZSTD(1)),
  observed_at DateTime64(3, 'UTC') COMMENT 'When the probe began, by the clock of the agent' CODEC(Delta, ZSTD(1)),
  nonce String COMMENT 'Nonce of the draw that the observation answers, 32 octets' CODEC(ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that asked',
  agent LowCardinality(String) COMMENT 'Name of the agent in the registry',
  country LowCardinality(String) COMMENT 'Country of the agent, ISO 3166-1 alpha-2, as registered',
  rir LowCardinality(String) COMMENT 'Region of the agent: afrinic, apnic, arin, lacnic, ripencc',
  city LowCardinality(String) COMMENT 'City of the agent, as registered',
  asn UInt32 COMMENT 'Autonomous system of the agent, as registered',
  address IPv6 COMMENT 'Address probed',
  port UInt16 COMMENT 'Port probed',
  server_name String COMMENT 'Name sent as SNI; empty: none sent' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key asked for: rsa, ecdsa, any',
  chain Array(String) COMMENT 'SHA-256 of each certificate, in the order sent' CODEC(ZSTD(1)),
  leaf_spki String COMMENT 'SHA-256 of the SubjectPublicKeyInfo of the first certificate' CODEC(ZSTD(1)),
  leaf_key LowCardinality(String) COMMENT 'Key of the first certificate, for example rsa-2048, ec-prime256v1',
  issuer String COMMENT 'Issuer of the first certificate, as text' CODEC(ZSTD(1)),
  possession_proven Bool COMMENT 'The server proved to hold the key of the first certificate',
  tls_version UInt16 COMMENT 'Protocol version as on the wire, 772 is TLS 1.3; 0: not negotiated',
  cipher_suite UInt16 COMMENT 'Cipher suite as on the wire; 0: not negotiated',
  key_group UInt16 COMMENT 'Group of the key exchange as on the wire; 0: none',
  signature_scheme UInt16 COMMENT 'Signature scheme of the proof as on the wire; 0: none',
  alpn LowCardinality(String) COMMENT 'Application protocol chosen',
  ocsp_responses UInt16 COMMENT 'OCSP responses stapled',
  sct_lists UInt16 COMMENT 'Lists of signed certificate timestamps in the handshake',
  error_class LowCardinality(String) COMMENT 'Why the handshake did not come to its end; empty: it did',
  alert Nullable(UInt8) COMMENT 'AlertDescription received, when error_class is alert',
  error_detail String COMMENT 'The error in words, at most 300 characters' CODEC(ZSTD(1)),
  connect_us UInt32 COMMENT 'Microseconds from start to TCP connection; 0: not reached',
  first_byte_us UInt32 COMMENT 'Microseconds from start to the first octet received; 0: not reached',
  proof_us UInt32 COMMENT 'Microseconds from start to the proof of possession; 0: not reached',
  end_us UInt32 COMMENT 'Microseconds from start to end'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), server_name, address, port, received_at)
${durable}
COMMENT 'One row a perspective and probe; signatures verified'`;

const certificates = `CREATE TABLE IF NOT EXISTS certificates (
  fingerprint String COMMENT 'SHA-256 of the certificate' CODEC(ZSTD(1)),
  first_received_at DateTime64(3, 'UTC') COMMENT 'When the first observation with it was stored by JetStream',
  subject String COMMENT 'Subject as text' CODEC(ZSTD(1)),
  issuer String COMMENT 'Issuer as text' CODEC(ZSTD(1)),
  serial String COMMENT 'Serial number' CODEC(ZSTD(1)),
  not_before Nullable(DateTime64(0, 'UTC')) COMMENT 'Start of validity; null when unreadable or beyond 1900 to 2299',
  not_after Nullable(DateTime64(0, 'UTC')) COMMENT 'End of validity; null as above',
  dns_names Array(String) COMMENT 'dNSName entries of subjectAltName' CODEC(ZSTD(1)),
  spki String COMMENT 'SHA-256 of SubjectPublicKeyInfo; empty when unreadable' CODEC(ZSTD(1)),
  key LowCardinality(String) COMMENT 'Kind and size of the key, for example rsa-2048, ec-prime256v1',
  fault String COMMENT 'Why the certificate could not be read; empty: it could',
  der_base64 String EPHEMERAL COMMENT 'How der is inserted',
  der String DEFAULT base64Decode(der_base64) COMMENT 'The certificate itself' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY fingerprint
${durable}
COMMENT 'Each certificate sent by any server, once'`;

const decisions = `CREATE TABLE IF NOT EXISTS decisions (
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
  voucher_base64 String EPHEMERAL COMMENT 'How voucher is inserted',
  voucher String DEFAULT base64Decode(voucher_base64) COMMENT 'CMS as handed out; empty unless issued' CODEC(ZSTD(1)),
  requester IPv6 COMMENT 'Address of the requester; :: when not recorded',
  authenticated Bool COMMENT 'The requester proved to hold the key of the certificate',
  audit_sequence UInt64 COMMENT 'Position in the audit log of the signer; 0: none'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), coordinator, received_at)
${durable}
COMMENT 'One row a decision of a coordinator'`;

const mismatches = `CREATE TABLE IF NOT EXISTS mismatches (
  id String COMMENT 'First 16 octets of a SHA-256 over place in the stream and record' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the record' CODEC(Delta, ZSTD(1)),
  seen_at DateTime64(3, 'UTC') COMMENT 'When it was seen, by the clock of the coordinator' CODEC(Delta, ZSTD(1)),
  nonce String COMMENT 'Nonce of the draw' CODEC(ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that reported',
  agent LowCardinality(String) COMMENT 'Agent that saw the other chain',
  address IPv6 COMMENT 'Address probed',
  port UInt16 COMMENT 'Port probed',
  server_name String COMMENT 'Name sent as SNI' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key asked for: rsa, ecdsa, any',
  expected Array(String) COMMENT 'SHA-256 of each certificate asked about' CODEC(ZSTD(1)),
  observed Array(String) COMMENT 'SHA-256 of each certificate seen' CODEC(ZSTD(1)),
  observation String COMMENT 'observations.id of the evidence; empty: none attached' CODEC(ZSTD(1)),
  evidence_valid Bool COMMENT 'The evidence is signed by that agent and answers that draw'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), server_name, received_at)
${durable}
COMMENT 'One row for each chain seen that was not the one asked about, possession proven'`;

export const migrations: readonly Migration[] = [
  { number: 1, name: 'observations', statements: [observations, certificates] },
  { number: 2, name: 'records', statements: [decisions, mismatches] },
];

export const migrationTable = `CREATE TABLE IF NOT EXISTS migrations (
  number UInt32 COMMENT 'Steps are taken in this order',
  name String COMMENT 'What the step brought',
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was complete'
) ENGINE = MergeTree ORDER BY number COMMENT 'Steps of the schema taken so far'`;
