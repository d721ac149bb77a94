/** The voucher request protocol: what is asked and what is answered (see mecai.asn1). */
import type { StartTlsProtocol } from '@mecai/addresses';
import type { Extension } from '@mecai/pki';
import type { Rir } from './voucher.ts';

export { startTlsProtocols, type StartTlsProtocol } from '@mecai/addresses';

export const mediaTypes = {
  request: 'application/mecai-voucher-request',
  response: 'application/mecai-voucher-response',
  json: 'application/json',
} as const;

export const vrpVersion = 1;

/** A request, in DER or in JSON, octets. */
export const maxRequestOctets = 65_536;
/** A response, in DER or in JSON, octets: all at its largest, in base64 and escapes, takes some 600,000. */
export const maxResponseOctets = 1_048_576;

/** Sizes and ranges of the grammar. */
export const vrpLimits = {
  chains: 4,
  /** Certificates in one chain. */
  certificates: 10,
  serverNameOctets: 253,
  nonceOctets: { least: 16, most: 64 },
  signatureOctets: 1_024,
  detailOctets: 1_024,
  codeOctets: 64,
  retryAfterSeconds: 2 ** 32 - 1,
} as const;

/** DER certificates as the server sends them, leaf first. */
export type CertificateChain = readonly Uint8Array[];

export interface TbsVoucherRequest {
  /** 4 octets. At least one address is present. */
  readonly ipv4?: Uint8Array;
  /** 16 octets. */
  readonly ipv6?: Uint8Array;
  readonly port: number;
  /** Host name in A-labels, lower case: sent as SNI, and to be in each leaf. */
  readonly serverName: string;
  readonly startTls?: StartTlsProtocol;
  /** One to four; each gets a result of its own. */
  readonly chains: readonly CertificateChain[];
  /** 16 to 64 octets that the VA handed out. */
  readonly nonce?: Uint8Array;
  readonly extensions?: readonly Extension[];
}

/** Proof that the requester holds the key of a chain's leaf. */
export interface KeyProof {
  /** Index into `chains`. */
  readonly chain: number;
  readonly signature: Uint8Array;
}

export interface VoucherRequest extends TbsVoucherRequest {
  /** At most one for each chain. */
  readonly proofs?: readonly KeyProof[];
}

export interface ReceivedVoucherRequest extends VoucherRequest {
  /** DER of TBSVoucherRequest: what key proofs cover. */
  readonly tbs: Uint8Array;
}

/** In the order of their ENUMERATED values, as are the lists below. */
export const chainStatuses = ['issued', 'on-hold', 'mismatch', 'inconclusive', 'refused'] as const;
export type ChainStatus = (typeof chainStatuses)[number];

export const refusalReasons = [
  'own-ca',
  'distrusted',
  'revoked',
  'untrusted',
  'forbidden-target',
  'rate-limited',
  'unauthenticated',
  'malformed',
  'objected',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export const outcomeVerdicts = ['match', 'mismatch', 'inconclusive', 'pending'] as const;
export type OutcomeVerdict = (typeof outcomeVerdicts)[number];

export interface Outcome {
  readonly verdict: OutcomeVerdict;
  /** The probe's error class, 1 to 64 octets. */
  readonly code?: string;
}

export interface PerspectiveOutcome {
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  readonly rir: Rir;
  readonly asn: number;
  readonly ipv4?: Outcome;
  readonly ipv6?: Outcome;
}

export interface ChainResult {
  /** SHA-256 of the leaf asked about; absent where none could be read. */
  readonly leaf?: Uint8Array;
  readonly status: ChainStatus;
  /** Present exactly if `status` is `refused`. */
  readonly reason?: RefusalReason;
  /** Seconds. */
  readonly retryAfter?: number;
  /** For people, 1 to 1024 octets; never parsed. */
  readonly detail?: string;
  /** ContentInfo. Present exactly if `status` is `issued`. */
  readonly voucher?: Uint8Array;
  readonly perspectives: readonly PerspectiveOutcome[];
}

export interface VoucherResponse {
  /** In the order of the chains asked about; one if the request as a whole was refused. */
  readonly results: readonly ChainResult[];
}

/**
 * LDH labels (RFC 5890 section 2.3.1) in lower case, 1 to 63 octets each and 253 in all, without the final
 * dot. The last label is not all digits, or it would be an IPv4 address (RFC 3696 section 2).
 */
export function isServerName(name: string): boolean {
  return (
    name.length <= vrpLimits.serverNameOctets &&
    /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)
  );
}
