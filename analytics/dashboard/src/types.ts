/** Rows of the API, as far as pages show them. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Perspective {
  readonly agent: string;
  readonly city: string;
  readonly country: string;
  readonly rir: string;
  readonly asn: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly state: 'alive' | 'silent' | 'unheard';
  readonly heardAt: string | null;
  readonly clockAheadMs: number | null;
  readonly locationCheck: string;
  readonly contradictions: readonly string[];
  readonly observations: number;
  readonly mismatches: number;
  readonly inconclusive: number;
}

export interface Totals {
  readonly observations: number;
  readonly mismatches: number;
  readonly decisions: number;
  readonly certificates: number;
  readonly open_incidents: number;
}

export interface Rate {
  readonly time: string;
  readonly name: string;
  readonly observations: number;
  readonly mismatches: number;
  readonly inconclusive: number;
}

export interface Rates {
  readonly step: number;
  readonly since: string;
  readonly until: string;
  readonly items: readonly Rate[];
}

export interface Incident {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly since: string;
  readonly opened_at: string;
  readonly last_evidence_at: string;
  readonly closed_at: string | null;
  readonly confidence: number;
  readonly rules_version: number;
  readonly summary: string;
  readonly reasons: readonly string[];
  readonly countries: readonly string[];
  readonly asns: readonly number[];
  readonly agents: readonly string[];
  readonly server_names: readonly string[];
  readonly endpoints: readonly string[];
  readonly names_affected: number;
  readonly issuers: readonly string[];
  readonly observations: number;
}

export interface Certificate {
  readonly fingerprint: string;
  readonly subject?: string;
  readonly issuer?: string;
  readonly serial?: string;
  readonly not_before?: string | null;
  readonly not_after?: string | null;
  readonly dns_names?: readonly string[];
  readonly spki?: string;
  readonly key?: string;
  readonly fault?: string;
  readonly first_received_at?: string;
}

export interface Evidence {
  readonly role: string;
  readonly observation: string;
  readonly received_at: string;
  readonly agent: string;
  readonly country: string;
  readonly asn: string;
  readonly server_name: string;
  readonly address: string;
  readonly port: string;
  readonly leaf: string;
  readonly error_class: string;
}

export interface Side {
  readonly role: string;
  readonly leaf: string;
  readonly server_name: string;
  readonly address: string;
  readonly port: number;
  readonly observations: number;
  readonly agents: readonly string[];
  readonly countries: readonly string[];
  readonly first_seen: string;
  readonly last_seen: string;
  readonly certificates: readonly Certificate[];
}

export interface IncidentPage {
  readonly incident: Incident;
  readonly evidence: readonly Evidence[];
  readonly chains: readonly Side[];
  readonly timeline: readonly {
    readonly time: string;
    readonly differs: number;
    readonly agrees: number;
    readonly control: number;
    readonly failed: number;
  }[];
}

export interface History {
  readonly leaf: string;
  readonly country: string;
  readonly issuer: string;
  readonly leaf_key: string;
  readonly asns: readonly number[];
  readonly addresses: readonly string[];
  readonly first_seen: string;
  readonly last_seen: string;
  readonly perspectives: number;
}

export interface Observation {
  readonly id: string;
  readonly received_at: string;
  readonly agent: string;
  readonly country: string;
  readonly verdict: string;
  readonly leaf: string;
  readonly error_class: string;
  readonly proof_us: number;
  readonly campaign: string;
  /** That it is evidence of an interception; empty: it is not. */
  readonly incident: string;
}

export interface EndpointPage {
  readonly endpoint: { readonly serverName: string; readonly port: number; readonly startTls: string };
  /** From where it was looked at, by day, the last first. */
  readonly days: readonly {
    readonly day: string;
    readonly perspectives: number;
    readonly countries: number;
  }[];
  readonly history: readonly History[];
  readonly recent: readonly Observation[];
  readonly certificates: readonly Certificate[];
}

export interface EndpointRow {
  readonly endpoint: string;
  readonly first_seen: string;
  readonly last_seen: string;
  readonly certificates: number;
}

export interface CertificatePage {
  readonly certificate: Certificate;
  readonly seen: {
    readonly first_seen: string;
    readonly last_seen: string;
    readonly perspectives: number;
    readonly countries: number;
    readonly networks: number;
  } | null;
  readonly sightings: readonly {
    readonly endpoint: string;
    readonly countries: readonly string[];
    readonly first_seen: string;
    readonly last_seen: string;
    readonly looked_at: string;
    readonly now: string;
    readonly perspectives: number;
  }[];
  readonly vouchers: readonly {
    readonly id: string;
    readonly server_name: string;
    readonly address: readonly string[];
    readonly port: number;
    readonly produced_at: string;
    readonly not_after: string;
    readonly trust_contexts: readonly string[];
  }[];
  readonly incidents: readonly {
    readonly id: string;
    readonly kind: string;
    readonly state: string;
    readonly summary: string;
  }[];
}

export interface Campaign {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly created_at: string;
  readonly author: string;
  readonly kind: string;
  readonly subject: string;
  readonly endpoints: number;
  readonly per_minute: number;
  readonly perspectives: number;
  readonly rounds: number;
  readonly round: number;
  readonly next: number;
}

export interface CampaignPage {
  readonly campaign: Campaign;
  readonly summary: Readonly<Record<string, number>>;
  readonly results: readonly {
    readonly number: number;
    readonly server_name: string;
    readonly address: string;
    readonly port: number;
    readonly start_tls: string;
    readonly leaf: string;
    readonly leaves: readonly string[];
    readonly state: string;
    readonly perspectives: number;
    readonly answered: number;
    readonly last_at: string | null;
  }[];
}
