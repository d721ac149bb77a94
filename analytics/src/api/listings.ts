import { clientReports, clientStatistics } from './client-listings.ts';
import { columns } from './columns.ts';
import { type Filter, type Listing, address, between, equals } from './listing.ts';

const chainHas: Record<string, Filter> = {
  certificate: {
    kind: 'text',
    sql: 'has(t.chain, {value:String})',
    description: 'SHA-256 of a certificate at any place of the chain',
  },
};

const observations: Listing = {
  name: 'observations',
  summary: 'What perspectives saw, one row a probe',
  from: 'observations AS t',
  time: 'received_at',
  id: 'id',
  byHour: true,
  columns: columns(`
    id received_at:time observed_at:time nonce coordinator campaign agent country region city rir asn:integer
    address:address target_country target_asn:integer port:integer server_name start_tls key_type chain:texts
    leaf leaf_spki leaf_key issuer possession_proven:boolean tls_version:integer cipher_suite:integer
    key_group:integer signature_scheme:integer alpn ocsp_responses:integer sct_lists:integer error_class
    alert:integer? error_detail connect_us:integer first_byte_us:integer proof_us:integer end_us:integer
    verified:boolean verdict rules_version:integer weight:integer`),
  filters: {
    ...between('received_at'),
    ...equals(`id nonce coordinator campaign agent country rir asn:integer port:integer server_name start_tls leaf
      leaf_spki issuer error_class verdict target_country target_asn:integer possession_proven:boolean`),
    ...address,
    ...chainHas,
  },
};

const mismatches: Listing = {
  name: 'mismatches',
  summary: 'Chains that were not the one a requester claimed',
  from: 'mismatches AS t',
  time: 'received_at',
  id: 'id',
  byHour: true,
  columns: columns(`
    id received_at:time seen_at:time nonce coordinator agent country rir asn:integer address:address port:integer
    server_name start_tls key_type expected:texts observed:texts observation evidence_valid:boolean`),
  filters: {
    ...between('received_at'),
    ...equals(
      'nonce coordinator agent country rir asn:integer port:integer server_name evidence_valid:boolean',
    ),
    ...address,
  },
};

const decisions: Listing = {
  name: 'decisions',
  summary: 'What coordinators decided about requests; who asked is left out',
  from: 'decisions AS t',
  time: 'received_at',
  id: 'id',
  byHour: true,
  columns: columns(
    `id received_at:time decided_at:time nonce coordinator status reason detail addresses:addresses ports:integers
    server_names:texts chain:texts agents:texts verdicts:texts codes:texts voucher authenticated:boolean
    audit_sequence:integer signer`,
    {
      addresses: 't.target.address',
      ports: 't.target.port',
      server_names: 't.target.server_name',
      agents: 't.perspective.agent',
      verdicts: 't.perspective.verdict',
      codes: 't.perspective.code',
    },
  ),
  filters: {
    ...between('received_at'),
    ...equals('nonce coordinator status reason voucher signer'),
    server_name: {
      kind: 'text',
      sql: 'has(t.target.server_name, {value:String})',
      description: 'Name of an endpoint asked about',
    },
    ...chainHas,
  },
};

const vouchers: Listing = {
  name: 'vouchers',
  summary: 'Vouchers handed out',
  from: 'vouchers AS t FINAL',
  time: 'received_at',
  id: 'id',
  columns: columns(`
    id received_at:time coordinator serial produced_at:time not_after:time address:addresses port:integer
    server_name start_tls key_type chain:texts leaf trust_contexts:texts`),
  filters: {
    ...between('received_at'),
    ...equals('coordinator leaf server_name port:integer'),
    outstanding: {
      kind: 'time',
      sql: "t.not_after > fromUnixTimestamp64Milli({value:Int64}, 'UTC')",
      description: 'Still good at this time',
    },
    ...chainHas,
  },
};

const certificates: Listing = {
  name: 'certificates',
  summary: 'Certificates seen, each once',
  from: 'certificates AS t FINAL',
  time: 'first_received_at',
  id: 'fingerprint',
  columns: columns(`
    fingerprint first_received_at:time subject issuer serial not_before:time? not_after:time? dns_names:texts spki
    key fault`),
  filters: {
    ...between('first_received_at'),
    ...equals('fingerprint issuer subject serial spki key'),
    dns_name: { kind: 'text', sql: 'has(t.dns_names, {value:String})', description: 'Name it is good for' },
  },
};

const endpoints: Listing = {
  name: 'endpoints',
  summary: 'Endpoints probed, by when a certificate was last seen there',
  from: `(SELECT concat(e.server_name, ':', toString(e.port), if(e.start_tls = '', '', concat('/', e.start_tls))) AS endpoint,
      e.server_name AS server_name, e.port AS port, e.start_tls AS start_tls, max(e.last_seen) AS last_seen,
      min(e.first_seen) AS first_seen, uniqCombinedMerge(12)(e.certificates) AS certificates
    FROM endpoints AS e GROUP BY server_name, port, start_tls) AS t`,
  time: 'last_seen',
  id: 'endpoint',
  columns: columns(`
    endpoint server_name port:integer start_tls first_seen:time last_seen:time certificates:integer`),
  filters: {
    ...between('last_seen'),
    ...equals('endpoint server_name port:integer start_tls'),
    certificates: {
      kind: 'integer',
      sql: 't.certificates >= {value:UInt32}',
      description: 'With at least so many different certificates',
    },
  },
};

const incidents: Listing = {
  name: 'incidents',
  summary: 'What the rules noticed: regional interceptions, outages, faulty agents',
  from: 'incidents AS t FINAL',
  time: 'opened_at',
  id: 'id',
  columns: columns(`
    id version:integer rules_version:integer kind state since:time opened_at:time last_evidence_at:time
    closed_at:time? updated_at:time confidence:number summary reasons:texts countries:texts rirs:texts
    asns:integers agents:texts server_names:texts endpoints:texts names_affected:integer leaves:texts
    leaf_spkis:texts issuers:texts genuine:texts observations:integer`),
  filters: {
    ...between('opened_at'),
    ...equals('kind state'),
    country: { kind: 'text', sql: 'has(t.countries, {value:String})', description: 'Country affected' },
    asn: { kind: 'integer', sql: 'has(t.asns, {value:UInt32})', description: 'Autonomous system affected' },
    server_name: { kind: 'text', sql: 'has(t.server_names, {value:String})', description: 'Name affected' },
    certificate: {
      kind: 'text',
      sql: 'has(t.leaves, {value:String})',
      description: 'Certificate seen there and nowhere else',
    },
  },
};

const campaigns: Listing = {
  name: 'campaigns',
  summary: 'Scheduled looks at chosen endpoints',
  from: 'campaigns AS t FINAL',
  time: 'created_at',
  id: 'id',
  columns: columns(`
    id name state created_at:time updated_at:time author kind subject endpoints:integer per_minute:integer
    perspectives:integer rounds:integer every_seconds:integer round:integer next:integer`),
  filters: { ...between('created_at'), ...equals('state kind author') },
};

export const listings: readonly Listing[] = [
  observations,
  mismatches,
  decisions,
  vouchers,
  certificates,
  endpoints,
  incidents,
  clientReports,
  clientStatistics,
  campaigns,
];
