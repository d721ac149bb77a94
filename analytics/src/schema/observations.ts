/** Tables of what was seen: one row a perspective and probe, and each certificate once. */

export const observations = `CREATE TABLE IF NOT EXISTS observations @cluster (
  id String COMMENT 'First 16 octets of the SHA-256 of the bytes the agent signed' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'When JetStream stored the observation: the time that rules go by' CODEC(Delta, ZSTD(1)),
  stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted' CODEC(Delta, ZSTD(1)),
  observed_at DateTime64(3, 'UTC') COMMENT 'When the probe began, by the clock of the agent' CODEC(Delta, ZSTD(1)),
  nonce String COMMENT 'Nonce of the draw or campaign that the observation answers, 32 octets' CODEC(ZSTD(1)),
  coordinator LowCardinality(String) COMMENT 'Coordinator that asked',
  agent LowCardinality(String) COMMENT 'Name of the agent in the registry',
  country LowCardinality(String) COMMENT 'Country of the agent, ISO 3166-1 alpha-2, as registered',
  region LowCardinality(String) COMMENT 'Subdivision of the country, ISO 3166-2, as registered; empty: not registered',
  city LowCardinality(String) COMMENT 'City of the agent, as registered',
  rir LowCardinality(String) COMMENT 'Region of the agent: afrinic, apnic, arin, lacnic, ripencc',
  asn UInt32 COMMENT 'Autonomous system of the agent, as registered',
  address IPv6 COMMENT 'Address probed',
  target_country LowCardinality(String) COMMENT 'Country of the address by GeoIP; empty: unknown',
  target_asn UInt32 COMMENT 'Autonomous system of the address by GeoIP; 0: unknown',
  port UInt16 COMMENT 'Port probed',
  server_name String COMMENT 'Name sent as SNI; empty: none sent, a control probe' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key asked for: rsa, ecdsa, any',
  chain Array(String) COMMENT 'SHA-256 of each certificate, in the order sent' CODEC(ZSTD(1)),
  leaf String COMMENT 'SHA-256 of the first certificate; empty: none sent' CODEC(ZSTD(1)),
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
  end_us UInt32 COMMENT 'Microseconds from start to end',
  verified Bool COMMENT 'The signature of the agent was verified before the row was stored; false: only nats-server vouches for the agent',
  verdict LowCardinality(String) COMMENT 'First opinion, at the moment it arrived: match (other networks see this key here), mismatch (they see another one), new (nothing to compare with), inconclusive (no proven chain). Later opinions are in verdicts and incidents',
  rules_version UInt16 COMMENT 'Version of the rules that gave the verdict',
  weight UInt32 COMMENT 'Observations the row stands for: 1, or more where matches are sampled'
) ENGINE = @MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), server_name, address, port, received_at)
@durable
COMMENT 'One row a perspective and probe'`;

export const certificates = `CREATE TABLE IF NOT EXISTS certificates @cluster (
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
) ENGINE = @ReplacingMergeTree
ORDER BY fingerprint
@durable
COMMENT 'Each certificate sent by any server, once (read with FINAL)'`;

export const evidence = `CREATE TABLE IF NOT EXISTS evidence @cluster (
  observation String COMMENT 'observations.id' CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') COMMENT 'As in observations' CODEC(Delta, ZSTD(1)),
  agent LowCardinality(String) COMMENT 'Agent whose key the signature verifies under',
  signed_base64 String EPHEMERAL COMMENT 'How signed is inserted',
  signed String DEFAULT base64Decode(signed_base64) COMMENT 'SignedObservation (protobuf) as it travelled: whoever has the registry can verify it again' CODEC(ZSTD(3))
) ENGINE = @ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY observation
@durable
COMMENT 'Signed bytes of what differed from elsewhere, and of the first sight of each key by each agent (read with FINAL)'`;

export const verdicts = `CREATE TABLE IF NOT EXISTS verdicts @cluster (
  observation String COMMENT 'observations.id' CODEC(ZSTD(1)),
  rules_version UInt16 COMMENT 'Version of the rules',
  received_at DateTime64(3, 'UTC') COMMENT 'As in observations' CODEC(Delta, ZSTD(1)),
  verdict LowCardinality(String) COMMENT 'As in observations',
  judged_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
) ENGINE = @ReplacingMergeTree(judged_at)
PARTITION BY toYYYYMM(received_at)
ORDER BY (observation, rules_version)
@durable
COMMENT 'Verdicts that differ from the one stored with the observation, after facts were judged again (read with FINAL)'`;
