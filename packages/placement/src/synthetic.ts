/**
 * An internet made from a seed, with the shape of the real one: a clique of transit-free ASes, regional transit under
 * it, most ASes at the edge with one to three providers, and peering inside regions. Sizes follow what CAIDA's
 * as-rel shows: about 85 % of ASes give no transit, degrees fall off like a power law.
 */
import { type Rir, rirs } from '@mecai/addresses';
import type { Links } from './as-graph.ts';
import { PlacementError } from './error.ts';
import { seeded } from './random.ts';

export interface SyntheticInternet extends Links {
  /** By AS number; the clique belongs to the region of its headquarters. */
  readonly regions: ReadonlyMap<number, Rir>;
}

const cliqueSize = 15;
/** Of all ASes. */
const transitShare = 0.15;
/** ASes by region in 2026, roughly: ARIN, RIPE, APNIC, LACNIC, AFRINIC. */
const weights: readonly (readonly [Rir, number])[] = [
  ['arin', 0.25],
  ['ripencc', 0.37],
  ['apnic', 0.18],
  ['lacnic', 0.17],
  ['afrinic', 0.03],
];

/**
 * @param size ASes, numbered from 1
 * @throws PlacementError `bad-setting`
 */
export function syntheticInternet(size: number, seed: number): SyntheticInternet {
  if (!Number.isInteger(size) || size < 50 || size > 200_000) {
    throw new PlacementError('bad-setting', `a synthetic internet has 50 to 200000 ASes, not ${size}`);
  }
  const random = seeded(seed);
  const transit: [number, number][] = [];
  const peering: [number, number][] = [];
  const regions = new Map<number, Rir>();
  const clique = Math.min(cliqueSize, Math.floor(size / 10));
  const lastTransit = Math.max(clique + 1, Math.floor(size * transitShare));
  // A provider stands in its region's list once, and once more for each customer: the big ones grow.
  const choices = new Map<Rir, number[]>(rirs.map((rir) => [rir, []]));
  const worldwide: number[] = [];
  const members = new Map<Rir, number[]>(rirs.map((rir) => [rir, []]));

  for (let asn = 1; asn <= size; asn++) {
    let left = random.next();
    const rir = (weights.find(([, weight]) => (left -= weight) < 0) ?? weights[0]!)[0];
    regions.set(asn, rir);
    if (asn <= clique) {
      for (let other = 1; other < asn; other++) peering.push([other, asn]);
      worldwide.push(asn);
      continue;
    }
    const isTransit = asn <= lastTransit;
    const wanted = 1 + random.below(isTransit ? 3 : 2) + (random.next() < 0.15 ? 1 : 0);
    const providers = new Set<number>();
    for (let i = 0; i < wanted; i++) {
      const local = choices.get(rir)!;
      // Transit buys from the clique more often than the edge does.
      const abroad = local.length === 0 || random.next() < (isTransit ? 0.4 : 0.08);
      const from = abroad ? worldwide : local;
      providers.add(from[random.below(from.length)]!);
    }
    for (const provider of providers) {
      transit.push([provider, asn]);
      (provider <= clique ? worldwide : choices.get(regions.get(provider)!)!).push(provider);
    }
    if (isTransit) choices.get(rir)!.push(asn);

    const near = members.get(rir)!;
    const peers = new Set<number>();
    const peersWanted = isTransit ? random.below(12) : random.next() < 0.25 ? 1 + random.below(4) : 0;
    for (let i = 0; i < peersWanted && near.length > 0; i++) {
      const other = near[random.below(near.length)]!;
      if (!providers.has(other)) peers.add(other);
    }
    for (const other of peers) peering.push([other, asn]);
    near.push(asn);
  }
  return { transit, peering, regions };
}
