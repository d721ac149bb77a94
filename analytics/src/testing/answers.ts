/** What answers have, as far as it is looked at here. */
export interface Row {
  readonly id: string;
  readonly agent: string;
  readonly country: string;
  readonly asn: number;
  readonly address: string;
  readonly server_name: string;
  readonly leaf: string;
  readonly issuer: string;
  readonly verdict: string;
  readonly received_at: string;
  readonly not_after: string;
  readonly certificates: number;
  readonly subject: string;
  readonly fingerprint: string;
  readonly kind: string;
  readonly role: string;
  readonly incident: string;
  readonly name: string;
  readonly observations: number;
  readonly mismatches: number;
  readonly differs: number;
}
interface Chain {
  readonly role: string;
  readonly countries: readonly string[];
  readonly certificates: readonly Row[];
}
export interface Body {
  readonly items: Row[];
  readonly next: string | null;
  readonly incident: Row;
  readonly evidence: Row[];
  readonly chains: Chain[];
  readonly timeline: Row[];
  readonly endpoint: Row;
  readonly days: object[];
  readonly history: Row[];
  readonly recent: Row[];
  readonly certificate: Row;
  readonly vouchers: Row[];
  readonly sightings: Row[];
  readonly summary: Record<string, number>;
  readonly results: Row[];
  readonly id: string;
  readonly state: string;
  readonly endpoints: number;
  readonly code: string;
  readonly openapi: string;
  readonly paths: Record<string, Operations>;
}
interface Operations {
  readonly get: {
    readonly responses: {
      readonly 200: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
    };
  };
}
interface Schema {
  readonly properties: { readonly items: { readonly items: { readonly properties: object } } };
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** What the API answers, as JSON. */
export async function answerOf(url: string, options: RequestInit = {}) {
  const response = await fetch(url, options);
  return { status: response.status, body: (await response.json()) as Body, headers: response.headers };
}
