import type { Columns } from './native-block.ts';
import type { CommonColumns, OwnColumns } from './rows.ts';

/**
 * The columns that are inserted, with types as schema/observations.ts has them, or such as the engine converts: texts that
 * come again and again travel once a block.
 */
export const ownColumns: Columns<OwnColumns> = {
  id: ['String', (row) => row.id],
  received_at: ["DateTime64(3, 'UTC')", (row) => row.received_at],
  observed_at: ["DateTime64(3, 'UTC')", (row) => row.observed_at],
  nonce: ['String', (row) => row.nonce],
  campaign: ['LowCardinality(String)', (row) => row.campaign],
  connect_us: ['UInt32', (row) => row.connect_us],
  first_byte_us: ['UInt32', (row) => row.first_byte_us],
  proof_us: ['UInt32', (row) => row.proof_us],
  end_us: ['UInt32', (row) => row.end_us],
  verified: ['Bool', (row) => row.verified],
  verdict: ['LowCardinality(String)', (row) => row.verdict],
  rules_version: ['UInt16', (row) => row.rules_version],
  weight: ['UInt32', (row) => row.weight],
};

export const commonColumns: Columns<CommonColumns> = {
  coordinator: ['LowCardinality(String)', (row) => row.coordinator],
  agent: ['LowCardinality(String)', (row) => row.agent],
  country: ['LowCardinality(String)', (row) => row.country],
  region: ['LowCardinality(String)', (row) => row.region],
  city: ['LowCardinality(String)', (row) => row.city],
  rir: ['LowCardinality(String)', (row) => row.rir],
  asn: ['UInt32', (row) => row.asn],
  address: ['IPv6', (row) => row.address],
  target_country: ['LowCardinality(String)', (row) => row.target_country],
  target_asn: ['UInt32', (row) => row.target_asn],
  port: ['UInt16', (row) => row.port],
  server_name: ['LowCardinality(String)', (row) => row.server_name],
  start_tls: ['LowCardinality(String)', (row) => row.start_tls],
  key_type: ['LowCardinality(String)', (row) => row.key_type],
  chain: ['Array(String)', (row) => row.chain],
  leaf: ['LowCardinality(String)', (row) => row.leaf],
  leaf_spki: ['LowCardinality(String)', (row) => row.leaf_spki],
  leaf_key: ['LowCardinality(String)', (row) => row.leaf_key],
  issuer: ['LowCardinality(String)', (row) => row.issuer],
  possession_proven: ['Bool', (row) => row.possession_proven],
  tls_version: ['UInt16', (row) => row.tls_version],
  cipher_suite: ['UInt16', (row) => row.cipher_suite],
  key_group: ['UInt16', (row) => row.key_group],
  signature_scheme: ['UInt16', (row) => row.signature_scheme],
  alpn: ['LowCardinality(String)', (row) => row.alpn],
  ocsp_responses: ['UInt16', (row) => row.ocsp_responses],
  sct_lists: ['UInt16', (row) => row.sct_lists],
  error_class: ['LowCardinality(String)', (row) => row.error_class],
  alert: ['Nullable(UInt8)', (row) => row.alert],
  error_detail: ['LowCardinality(String)', (row) => row.error_detail],
};

/** In the order in which they travel. */
export const observationColumns: readonly string[] = [
  ...Object.keys(ownColumns),
  ...Object.keys(commonColumns),
];
