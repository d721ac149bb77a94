/**
 * What a voucher says. The grammar stands in `proto/asn1/mecai.asn1` and above each codec; this is its
 * image in TypeScript. Bytes are `Uint8Array`, enumerations are words, times are whole seconds in UTC.
 */
import type { Rir } from '@mecai/addresses';
import type { Extension } from '@mecai/pki';

/** In the order of their ENUMERATED values. */
export const verdicts = ['match', 'mismatch', 'inconclusive'] as const;
export type Verdict = (typeof verdicts)[number];

export { type Rir, rirs } from '@mecai/addresses';

export const voucherVersion = 1;

/** Sizes and ranges of the grammar. */
export const voucherLimits = {
  serialOctets: 16,
  digestOctets: 32,
  intermediates: 9,
  /** OCSPResponse, octets. */
  ocspOctets: 16_384,
  /** CRLNumber, content octets (RFC 5280 section 5.2.3). */
  crlNumberOctets: 20,
  trustContexts: 32,
  perspectives: 64,
  extensions: 16,
  /** Extension value, octets. */
  extensionOctets: 4_096,
  /** CRLs and OCSP responses about the VA's own certificates. */
  revocationDocuments: 10,
  /** Of one of them. */
  revocationOctets: 16_384,
  /** ContentInfo, octets: the largest TLS extension that stock servers staple. */
  signedOctets: 65_500,
  /** Half the circumference of the Earth, rounded up. */
  kilometres: 20_040,
} as const;

export interface CrlReference {
  /** cRLNumber (RFC 5280 section 5.2.3), if the CRL has one. */
  readonly number?: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** SHA-256 of the CRL, 32 octets. */
  readonly digest: Uint8Array;
}

/** Revocation status of one certificate of the chain: 0 is the leaf, n the nth intermediate. */
export type CertificateStatus =
  /** An OCSPResponse (RFC 6960 section 4.2.1), verbatim. */
  | { readonly certificate: number; readonly ocsp: Uint8Array }
  | { readonly certificate: number; readonly crl: CrlReference };

/** The rule that the observations had to meet. */
export interface QuorumPolicy {
  /** Perspectives asked. */
  readonly asked: number;
  /** Matches needed, at least. */
  readonly matches: number;
  /** RIR regions among the matches, at least. */
  readonly regions: number;
  /** Autonomous systems among the matches, at least. */
  readonly networks: number;
  /** Distance between any two perspectives, kilometres, at least. */
  readonly kilometres: number;
  /** Whether the intermediates had to match as well as the leaf. */
  readonly intermediates: boolean;
}

/** Where one observation was made from, and what came of it for each address of the voucher. */
export interface Perspective {
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  readonly rir: Rir;
  /** Autonomous system number, 1 to 4294967295. */
  readonly asn: number;
  readonly ipv4?: Verdict;
  readonly ipv6?: Verdict;
}

export interface Voucher {
  /** 16 octets, random. */
  readonly serial: Uint8Array;
  /** 4 octets. At least one address is present. */
  readonly ipv4?: Uint8Array;
  /** 16 octets. */
  readonly ipv6?: Uint8Array;
  readonly port: number;
  /** SHA-256 of the server certificate, 32 octets. */
  readonly leaf: Uint8Array;
  /** SHA-256 of each further certificate, in the order the server sends them. */
  readonly intermediates: readonly Uint8Array[];
  /** At most one for each certificate. */
  readonly status: readonly CertificateStatus[];
  readonly producedAt: Date;
  readonly notAfter: Date;
  /** Trust context identifiers, each `[A-Z0-9-]{1,32}`. */
  readonly trustContexts: readonly string[];
  readonly quorum: QuorumPolicy;
  /** Version of the VA's published directory of perspectives. */
  readonly directoryVersion: number;
  readonly perspectives: readonly Perspective[];
  readonly extensions?: readonly Extension[];
}

export const trustContextPattern = /^[A-Z0-9-]{1,32}$/;
export const countryPattern = /^[A-Z]{2}$/;
