/**
 * The quorum rule, after CA/Browser Forum Baseline Requirements 3.2.2.9:
 *
 *   | distinct perspectives asked | non-corroborations allowed |
 *   | --------------------------- | -------------------------- |
 *   | 2 to 5                      | 1                          |
 *   | 6 or more                   | 2                          |
 *
 * - Perspectives are distinct when name and key differ and they are at least 500 km apart.
 * - The matching perspectives lie in at least two RIR regions, and in at least `minNetworks` autonomous systems.
 *
 * | verdict      | meaning                                                                             |
 * | ------------ | ----------------------------------------------------------------------------------- |
 * | match        | the chain asked about, and the server proved possession of the key                  |
 * | mismatch     | another chain, and the server proved possession of its key                          |
 * | inconclusive | anything else: refused, reset, timeout, agent at fault                              |
 * | pending      | no answer yet                                                                       |
 *
 * Asked about two addresses, a perspective matches when it saw the chain at both, since that is how a voucher for
 * two addresses is read; it mismatches when it saw another chain at either.
 *
 * | outcome      | when                                                                                |
 * | ------------ | ----------------------------------------------------------------------------------- |
 * | corroborated | the matches are enough                                                              |
 * | mismatch     | they could not be enough even if everyone but the mismatches matched                |
 * | inconclusive | they are not enough, but could be if the inconclusive had matched: no sign of attack |
 * | pending      | the answers still missing decide                                                    |
 *
 * More matches never hurt and later answers only replace `pending`, so an outcome other than pending is final.
 */
import { type Place, type Rir, distanceKm } from '@mecai/addresses';

export { type Rir, rirs } from '@mecai/addresses';

export interface Perspective extends Place {
  readonly name: string;
  /** Identity of the observation key, for example the hash of its SPKI. */
  readonly keyId: string;
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  readonly rir: Rir;
  readonly asn: number;
}

export type Verdict = 'match' | 'mismatch' | 'inconclusive';
export interface Judgement {
  readonly verdict: Verdict;
  /** Why it is inconclusive: the probe's error class, or `no-possession`. */
  readonly code?: string;
}

export type Outcome = 'corroborated' | 'mismatch' | 'inconclusive' | 'pending';

export interface QuorumPolicy {
  /** Distinct perspectives to ask, at least 2. */
  readonly perspectives: number;
  readonly minRegions: number;
  readonly minNetworks: number;
  readonly minDistanceKm: number;
  /** Whether the intermediates have to match as well as the leaf. */
  readonly matchIntermediates: boolean;
}

export const defaultQuorumPolicy: QuorumPolicy = {
  perspectives: 6,
  minRegions: 2,
  minNetworks: 2,
  minDistanceKm: 500,
  matchIntermediates: true,
};

/** The table above; below two perspectives nothing is corroborated. */
export const allowedNonCorroborations = (perspectives: number): number =>
  perspectives >= 6 ? 2 : perspectives >= 2 ? 1 : 0;

export interface QuorumResult {
  readonly outcome: Outcome;
  /** Names that count, in the order asked; duplicates and neighbours of earlier ones are left out. */
  readonly counted: readonly string[];
  readonly required: number;
  readonly matches: number;
  readonly mismatches: number;
  readonly inconclusive: number;
  readonly pending: number;
  /** RIR regions and autonomous systems among the matches. */
  readonly regions: number;
  readonly networks: number;
}

/** The perspectives that count: each key and name once, and none near one that counts already. */
export function distinctPerspectives(
  asked: readonly Perspective[],
  minDistanceKm: number,
): readonly Perspective[] {
  const distinct: Perspective[] = [];
  for (const candidate of asked) {
    const duplicate = distinct.some(
      (other) =>
        other.name === candidate.name ||
        other.keyId === candidate.keyId ||
        distanceKm(other, candidate) < minDistanceKm,
    );
    if (!duplicate) distinct.push(candidate);
  }
  return distinct;
}

/**
 * A perspective's verdict over all addresses. `doubtful`: it can no longer match, but what is missing may still
 * show a mismatch.
 */
function verdictOf(name: string, judgements: Judgements): Verdict | 'pending' | 'doubtful' {
  let inconclusive = false;
  let pending = false;
  for (const ofAddress of judgements) {
    const verdict = ofAddress.get(name)?.verdict;
    if (verdict === 'mismatch') return verdict;
    if (verdict === 'inconclusive') inconclusive = true;
    if (verdict === undefined) pending = true;
  }
  if (pending) return inconclusive ? 'doubtful' : 'pending';
  return inconclusive ? 'inconclusive' : 'match';
}

/** By address, then by perspective name; a name without a judgement is pending. */
export type Judgements = readonly ReadonlyMap<string, Judgement>[];

/**
 * @param asked every perspective asked, in the order drawn
 * @param judgements at least one address
 */
export function evaluateQuorum(
  policy: QuorumPolicy,
  asked: readonly Perspective[],
  judgements: Judgements,
): QuorumResult {
  const counted = distinctPerspectives(asked, policy.minDistanceKm);
  const required = Math.max(counted.length - allowedNonCorroborations(counted.length), 1);
  const verdicts = counted.map(({ name }) => verdictOf(name, judgements));
  const by = (wanted: ReturnType<typeof verdictOf>) => counted.filter((_, i) => verdicts[i] === wanted);
  const matches = by('match');
  const mismatches = by('mismatch');
  const inconclusive = by('inconclusive');
  const pending = by('pending');
  const doubtful = by('doubtful');
  const missing = pending.length + doubtful.length;

  const regions = (some: readonly Perspective[]) => new Set(some.map(({ rir }) => rir)).size;
  const networks = (some: readonly Perspective[]) => new Set(some.map(({ asn }) => asn)).size;
  const enough = (matching: readonly Perspective[]) =>
    counted.length >= policy.perspectives &&
    matching.length >= required &&
    regions(matching) >= policy.minRegions &&
    networks(matching) >= policy.minNetworks;

  const outcome = ((): Outcome => {
    if (enough(matches)) return 'corroborated';
    const others = [...matches, ...inconclusive, ...doubtful, ...pending];
    if (mismatches.length > 0 && !enough(others)) return 'mismatch';
    const hopeless = !enough([...matches, ...pending]);
    const mayStillMismatch = missing > 0 && !enough([...matches, ...inconclusive]);
    return hopeless && !mayStillMismatch ? 'inconclusive' : 'pending';
  })();

  return {
    outcome,
    counted: counted.map(({ name }) => name),
    required,
    matches: matches.length,
    mismatches: mismatches.length,
    inconclusive: inconclusive.length,
    pending: missing,
    regions: regions(matches),
    networks: networks(matches),
  };
}
