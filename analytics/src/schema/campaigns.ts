/** Tables of campaigns: scheduled looks at chosen endpoints. */

export const campaigns = `CREATE TABLE IF NOT EXISTS campaigns @cluster (
  id String COMMENT '16 random octets; observations.campaign of what came of it' CODEC(ZSTD(1)),
  version UInt64 COMMENT 'Rises with every change: the row with the highest one counts (read with FINAL)',
  name String COMMENT 'What it is for, as its author puts it' CODEC(ZSTD(1)),
  state LowCardinality(String) COMMENT 'running, stopped, done',
  created_at DateTime64(3, 'UTC') COMMENT 'When it was ordered',
  updated_at DateTime64(3, 'UTC') COMMENT 'When this row was written',
  author LowCardinality(String) COMMENT 'Name of the token that ordered it',
  kind LowCardinality(String) COMMENT 'How its endpoints were chosen: endpoints, certificate, issuer, vouchers',
  subject String COMMENT 'The certificate, issuer or CA that was asked about; empty with endpoints' CODEC(ZSTD(1)),
  endpoints UInt32 COMMENT 'How many endpoints it has',
  per_minute UInt32 COMMENT 'Probes a minute over all perspectives, at most',
  perspectives UInt16 COMMENT 'Perspectives that look at each endpoint in a round',
  rounds UInt32 COMMENT 'How often each endpoint is looked at',
  every_seconds UInt32 COMMENT 'Seconds from the start of a round to that of the next',
  round UInt32 COMMENT 'Round it is in, from 0',
  next UInt32 COMMENT 'Position of the endpoint that is next in the round'
) ENGINE = @ReplacingMergeTree(version)
ORDER BY id
@durable
COMMENT 'Campaigns (read with FINAL)'`;

export const campaignTargets = `CREATE TABLE IF NOT EXISTS campaign_targets @cluster (
  campaign String COMMENT 'campaigns.id' CODEC(ZSTD(1)),
  number UInt32 COMMENT 'Position, from 0',
  address IPv6 COMMENT 'Address to probe',
  port UInt16 COMMENT 'Port to probe',
  server_name String COMMENT 'Name to send as SNI; empty: none' CODEC(ZSTD(1)),
  start_tls LowCardinality(String) COMMENT 'STARTTLS protocol; empty: TLS from the first octet',
  key_type LowCardinality(String) COMMENT 'Kind of key to ask for: rsa, ecdsa, any',
  leaf String COMMENT 'SHA-256 of the certificate that was last seen there and is asked about; empty: none in particular' CODEC(ZSTD(1))
) ENGINE = @ReplacingMergeTree
ORDER BY (campaign, number)
@durable
COMMENT 'Endpoints of campaigns (read with FINAL)'`;

export const observationCampaign = `ALTER TABLE observations @cluster ADD COLUMN IF NOT EXISTS
  campaign LowCardinality(String) COMMENT 'campaigns.id, the first half of the nonce; empty: a coordinator asked' AFTER coordinator`;
