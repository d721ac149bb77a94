/** Rows as inserted: the members of each are the columns that the schema (migrations.ts) describes. */

/** First opinion about an observation; see `observations.verdict` in SCHEMA.md. */
export type Verdict = 'match' | 'mismatch' | 'new' | 'inconclusive';

/** Columns that an observation shares with others: who looked at what, and what there was to see. */
export interface CommonColumns {
  readonly coordinator: string;
  readonly agent: string;
  readonly country: string;
  readonly region: string;
  readonly city: string;
  readonly rir: string;
  readonly asn: number;
  readonly address: string;
  readonly target_country: string;
  readonly target_asn: number;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly key_type: string;
  readonly chain: readonly string[];
  readonly leaf: string;
  readonly leaf_spki: string;
  readonly leaf_key: string;
  readonly issuer: string;
  readonly possession_proven: boolean;
  readonly tls_version: number;
  readonly cipher_suite: number;
  readonly key_group: number;
  readonly signature_scheme: number;
  readonly alpn: string;
  readonly ocsp_responses: number;
  readonly sct_lists: number;
  readonly error_class: string;
  readonly alert: number | null;
  readonly error_detail: string;
}

/** Columns of its own. */
export interface OwnColumns {
  readonly id: string;
  /** Times: milliseconds since 1970. */
  readonly received_at: number;
  readonly observed_at: number;
  readonly nonce: string;
  readonly campaign: string;
  readonly connect_us: number;
  readonly first_byte_us: number;
  readonly proof_us: number;
  readonly end_us: number;
  readonly verified: boolean;
  readonly verdict: Verdict;
  readonly rules_version: number;
  readonly weight: number;
}

export type ObservationRow = OwnColumns & CommonColumns;

export interface CertificateRow {
  readonly fingerprint: string;
  readonly first_received_at: number;
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  /** Seconds since 1970. */
  readonly not_before: number | null;
  readonly not_after: number | null;
  readonly dns_names: readonly string[];
  readonly spki: string;
  readonly key: string;
  readonly fault: string;
  readonly der_base64: string;
}

export type CertificateFacts = Omit<CertificateRow, 'first_received_at'>;

export interface VoucherRow {
  readonly id: string;
  readonly received_at: number;
  readonly coordinator: string;
  readonly serial: string;
  /** Seconds since 1970. */
  readonly produced_at: number;
  readonly not_after: number;
  readonly address: readonly string[];
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly key_type: string;
  readonly chain: readonly string[];
  readonly leaf: string;
  readonly trust_contexts: readonly string[];
  readonly der_base64: string;
}

export interface DecisionRow {
  readonly id: string;
  readonly received_at: number;
  readonly decided_at: number;
  readonly nonce: string;
  readonly coordinator: string;
  readonly status: string;
  readonly reason: string;
  readonly detail: string;
  readonly 'target.address': readonly string[];
  readonly 'target.port': readonly number[];
  readonly 'target.server_name': readonly string[];
  readonly 'target.start_tls': readonly string[];
  readonly 'target.key_type': readonly string[];
  readonly chain: readonly string[];
  readonly 'perspective.agent': readonly string[];
  readonly 'perspective.address': readonly string[];
  readonly 'perspective.verdict': readonly string[];
  readonly 'perspective.code': readonly string[];
  readonly voucher: string;
  readonly requester: string;
  readonly authenticated: boolean;
  readonly audit_sequence: number;
  readonly signer: string;
}

export interface MismatchRow {
  readonly id: string;
  readonly received_at: number;
  readonly seen_at: number;
  readonly nonce: string;
  readonly coordinator: string;
  readonly agent: string;
  readonly country: string;
  readonly rir: string;
  readonly asn: number;
  readonly address: string;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly key_type: string;
  readonly expected: readonly string[];
  readonly observed: readonly string[];
  readonly observation: string;
  readonly evidence_valid: boolean;
}

export interface ClientReportRow {
  readonly id: string;
  readonly received_at: number;
  readonly seen_at: number;
  readonly coordinator: string;
  readonly report: string;
  readonly times: number;
  readonly mode: string;
  readonly codes: readonly string[];
  readonly address: string;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly chain: readonly string[];
  readonly leaf: string;
  readonly vas: readonly string[];
  readonly vouchers: readonly string[];
}

export interface ClientStatisticsRow {
  readonly id: string;
  readonly received_at: number;
  readonly coordinator: string;
  /** Days since 1970. */
  readonly day: number;
  readonly 'count.code': readonly string[];
  readonly 'count.checks': readonly number[];
}

export interface IncidentRow {
  readonly id: string;
  readonly version: number;
  readonly rules_version: number;
  readonly kind: 'regional-interception' | 'local-outage' | 'faulty-agent';
  readonly state: 'open' | 'closed' | 'withdrawn';
  readonly since: number;
  readonly opened_at: number;
  readonly last_evidence_at: number;
  readonly closed_at: number | null;
  readonly updated_at: number;
  readonly confidence: number;
  readonly summary: string;
  readonly reasons: readonly string[];
  readonly countries: readonly string[];
  readonly rirs: readonly string[];
  readonly asns: readonly number[];
  readonly agents: readonly string[];
  readonly server_names: readonly string[];
  readonly endpoints: readonly string[];
  readonly names_affected: number;
  readonly leaves: readonly string[];
  readonly leaf_spkis: readonly string[];
  readonly issuers: readonly string[];
  readonly genuine: readonly string[];
  readonly observations: number;
}

export interface IncidentEvidenceRow {
  readonly incident: string;
  readonly role: 'differs' | 'agrees' | 'control' | 'failed';
  readonly observation: string;
  readonly received_at: number;
  readonly agent: string;
  readonly country: string;
  readonly asn: number;
  readonly server_name: string;
  readonly address: string;
  readonly port: number;
  readonly leaf: string;
  readonly error_class: string;
}

export interface VerdictRow {
  readonly observation: string;
  readonly rules_version: number;
  readonly received_at: number;
  readonly verdict: Verdict;
}

export interface AlertRow {
  readonly incident: string;
  readonly state: 'open' | 'closed' | 'withdrawn';
  readonly channel: 'webhook' | 'mail';
  readonly sent_at: number;
}

export interface EvidenceRow {
  readonly observation: string;
  readonly received_at: number;
  readonly agent: string;
  readonly signed_base64: string;
}

/** Tables whose rows come one from a message each. */
export const eventTables = [
  'observations',
  'decisions',
  'mismatches',
  'client_reports',
  'client_statistics',
] as const;
export type EventTable = (typeof eventTables)[number];

interface Event<Table extends EventTable, Row> {
  readonly table: Table;
  readonly row: Row;
  /** The row, had it been stored before, cannot have `received_at` earlier than this. */
  readonly earliest: number;
  /** Rows that it brings along; each may be stored again. */
  readonly certificates?: readonly CertificateFacts[];
  readonly voucher?: VoucherRow;
  readonly evidence?: EvidenceRow;
}

export interface ObservationEvent extends Event<'observations', OwnColumns> {
  /** The same object for observations that have them all in common. */
  readonly common: CommonColumns;
}

export type RecordEvent =
  | Event<'decisions', DecisionRow>
  | Event<'mismatches', MismatchRow>
  | Event<'client_reports', ClientReportRow>
  | Event<'client_statistics', ClientStatisticsRow>;

export type StoredEvent = ObservationEvent | RecordEvent;

/** Why a message is not stored. */
export type Fault =
  | 'malformed'
  | 'too-large'
  | 'unknown-agent'
  | 'bad-signature'
  /** The subject names another agent or coordinator than the message. */
  | 'other-sender';

/** A row, why there is none, or that the sample goes without it. */
export type Read = StoredEvent | { readonly fault: Fault } | { readonly left: 'sampled' };
