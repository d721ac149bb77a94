import type { Perspective, Voucher } from './voucher.ts';

/** What the perspectives of a voucher amount to. */
export interface ShownQuorum {
  /** Perspectives that saw a match at every address. */
  readonly matches: number;
  /** Distinct RIRs among the matches. */
  readonly regions: number;
  /** Distinct autonomous systems among the matches. */
  readonly networks: number;
}

export const isMatch = ({ ipv4 = 'match', ipv6 = 'match' }: Perspective): boolean =>
  ipv4 === 'match' && ipv6 === 'match';

/**
 * Counts what the voucher itself shows. Perspectives are not named in it, so that two of one country and
 * network count as two matches, but as one region and one network.
 */
export function shownQuorum({ perspectives }: Pick<Voucher, 'perspectives'>): ShownQuorum {
  const matching = perspectives.filter(isMatch);
  return {
    matches: matching.length,
    regions: new Set(matching.map((one) => one.rir)).size,
    networks: new Set(matching.map((one) => one.asn)).size,
  };
}
