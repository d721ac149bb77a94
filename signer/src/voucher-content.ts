import type { QuorumPolicy, QuorumResult } from '@mecai/corroboration';
import type { Perspective, Voucher, QuorumPolicy as VoucherQuorum } from '@mecai/voucher';
import type { OpenDraw } from './draws.ts';
import type { Findings } from './evidence.ts';
import type { Revocation } from './revocation-check.ts';

export interface VoucherTerms {
  readonly policy: QuorumPolicy;
  readonly lifetimeSeconds: number;
  /** Milliseconds since 1970: the first certificate of the VA's chain to expire. No voucher outlives it. */
  readonly vaNotAfter: number;
}

/**
 * What the voucher of a draw says: what was asked, what was seen, by which rule.
 *
 * @param now milliseconds since 1970
 */
export function voucherContent(
  draw: OpenDraw,
  { seen }: Findings,
  result: QuorumResult,
  { trustContexts, status }: Revocation,
  { policy, lifetimeSeconds, vaNotAfter }: VoucherTerms,
  serial: Uint8Array,
  now: number,
): Voucher {
  const at = (octets: number) => draw.targets.findIndex(({ address }) => address.length === octets);
  const [ipv4, ipv6] = [at(4), at(16)];
  const producedAt = Math.floor(now / 1000) * 1000;
  const heard = [...draw.agents.values()].filter(({ name }) => seen.some((target) => target.has(name)));
  const verdict = (target: number, name: string) => seen[target]?.get(name)?.verdict ?? 'inconclusive';
  return {
    serial,
    ...(ipv4 >= 0 && { ipv4: draw.targets[ipv4]!.address }),
    ...(ipv6 >= 0 && { ipv6: draw.targets[ipv6]!.address }),
    port: draw.targets[0]!.port,
    leaf: draw.digests[0]!,
    intermediates: draw.digests.slice(1),
    status,
    producedAt: new Date(producedAt),
    notAfter: new Date(Math.min(producedAt + lifetimeSeconds * 1000, vaNotAfter)),
    trustContexts,
    quorum: statedQuorum(policy, result.counted.length, result.required),
    directoryVersion: draw.registryVersion,
    perspectives: heard.map(
      ({ name, country, rir, asn }): Perspective => ({
        country,
        rir,
        asn,
        ...(ipv4 >= 0 && { ipv4: verdict(ipv4, name) }),
        ...(ipv6 >= 0 && { ipv6: verdict(ipv6, name) }),
      }),
    ),
  };
}

/** The rule as vouchers state it. So many regions or networks among the matches take as many matches. */
export const statedQuorum = (policy: QuorumPolicy, asked: number, required: number): VoucherQuorum => ({
  asked,
  matches: Math.max(required, policy.minRegions, policy.minNetworks),
  regions: policy.minRegions,
  networks: policy.minNetworks,
  kilometres: policy.minDistanceKm,
  intermediates: policy.matchIntermediates,
});
