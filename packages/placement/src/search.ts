/** Looks for the set of sites that resists most: from a start, the best swap again and again. */
import { type QuorumPolicy, allowedNonCorroborations } from '@mecai/corroboration';
import { PlacementError } from './error.ts';
import { type Captures, type Resilience, resilience } from './resilience.ts';
import type { Site } from './sites.ts';

export interface Found extends Resilience {
  /** Positions in `captures.sites`, rising. */
  readonly chosen: readonly number[];
  /** Whether a quorum is left in every draw when any one region or network is lost. */
  readonly outlivesLoss: boolean;
}

/**
 * Hill climbing: ends where no single swap is better, which need not be the best set of all. The start is `from`, or
 * else the first set that meets the policy when sites are taken by turns from each RIR region. A set that outlives the
 * loss of any one region or network is better than each that does not: Terraform's module quorum-geography takes no
 * other.
 *
 * @param size sites in the set, at least `policy.perspectives`
 * @param progress called after each improvement
 * @throws PlacementError `too-few-sites`
 */
export function searchSites(
  policy: QuorumPolicy,
  captures: Captures,
  size: number,
  from?: readonly number[],
  progress?: (found: Found) => void,
): Found {
  const all = captures.sites.map((_, at) => at);
  if (size < policy.perspectives || size > all.length) {
    throw new PlacementError(
      'too-few-sites',
      `a set of ${size} out of ${all.length} sites; the policy asks for ${policy.perspectives}`,
    );
  }
  const judged = (chosen: readonly number[]): Found | undefined => {
    const outlivesLoss = outlives(
      policy,
      chosen.map((at) => captures.sites[at]!),
    );
    try {
      const judgement = resilience(policy, captures, chosen);
      return { chosen: chosen.toSorted((a, b) => a - b), outlivesLoss, ...judgement };
    } catch (error) {
      if (error instanceof PlacementError && error.code === 'too-few-sites') return undefined;
      throw error;
    }
  };
  let best = judged(from ?? byTurns(captures, size));
  if (!best) throw new PlacementError('too-few-sites', 'the start does not meet the policy');
  for (;;) {
    let better: Found | undefined;
    for (const out of best.chosen) {
      for (const candidate of all) {
        if (best.chosen.includes(candidate)) continue;
        const found = judged([...best.chosen.filter((at) => at !== out), candidate]);
        if (found && isBetter(found, better ?? best)) better = found;
      }
    }
    if (!better) return best;
    best = better;
    progress?.(best);
  }
}

const isBetter = (one: Found, other: Found): boolean =>
  one.outlivesLoss === other.outlivesLoss ? one.resisted > other.resisted : one.outlivesLoss;

/**
 * Regions take turns when perspectives are drawn, so no draw takes more from a region than the quorum can do without
 * exactly when the regions, each counted with at most so many, fill a draw.
 */
function outlives(policy: QuorumPolicy, sites: readonly Site[]): boolean {
  const spare = allowedNonCorroborations(policy.perspectives);
  const regions = [...Map.groupBy(sites, ({ rir }) => rir).values()];
  const drawn = (count: (region: readonly Site[]) => number) =>
    regions.reduce((sum, region) => sum + Math.min(spare, count(region)), 0);
  const networks = new Set(sites.map(({ asn }) => asn));
  return (
    drawn(({ length }) => length) >= policy.perspectives &&
    [...networks].every((asn) => drawn((region) => region.filter((one) => one.asn === asn).length) <= spare)
  );
}

function byTurns({ sites }: Captures, size: number): number[] {
  const queues = Map.groupBy(sites.keys(), (at) => sites[at]!.rir);
  const chosen: number[] = [];
  for (let turn = 0; chosen.length < size; turn++) {
    for (const queue of queues.values()) {
      const at = queue[turn];
      if (at !== undefined && chosen.length < size) chosen.push(at);
    }
  }
  return chosen;
}
