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

/** Whether a perspective may count beside these: another name, another key, and near none of them. */
export const isDistinct = (
  candidate: Perspective,
  others: readonly Perspective[],
  minDistanceKm: number,
): boolean =>
  others.every(
    (other) =>
      other.name !== candidate.name &&
      other.keyId !== candidate.keyId &&
      // What is near nothing, since its coordinates are no number, is not near here either.
      !(distanceKm(other, candidate) < minDistanceKm),
  );

/** The perspectives that count: each key and name once, and none near one that counts already. */
export function distinctPerspectives(
  asked: readonly Perspective[],
  minDistanceKm: number,
): readonly Perspective[] {
  const distinct: Perspective[] = [];
  for (const candidate of asked) {
    if (isDistinct(candidate, distinct, minDistanceKm)) distinct.push(candidate);
  }
  return distinct;
}

type AnyVerdict = Verdict | 'pending' | 'doubtful';

/**
 * A perspective's verdict over all addresses. `doubtful`: it can no longer match, but what is missing may still
 * show a mismatch.
 */
function verdictOf(name: string, judgements: Judgements): AnyVerdict {
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
export const evaluateQuorum = (
  policy: QuorumPolicy,
  asked: readonly Perspective[],
  judgements: Judgements,
): QuorumResult => quorumAmong(policy, asked)(judgements);

/** `evaluateQuorum` for perspectives that are judged again with each answer: who counts is found out once. */
export function quorumAmong(
  policy: QuorumPolicy,
  asked: readonly Perspective[],
): (judgements: Judgements) => QuorumResult {
  const counted = distinctPerspectives(asked, policy.minDistanceKm);
  const names = counted.map(({ name }) => name);
  const required = Math.max(counted.length - allowedNonCorroborations(counted.length), 1);

  return (judgements) => {
    const verdicts = names.map((name) => verdictOf(name, judgements));
    const some = (...wanted: readonly AnyVerdict[]) =>
      counted.filter((_, i) => wanted.includes(verdicts[i]!));
    const count = (wanted: AnyVerdict) => verdicts.reduce((sum, one) => sum + (one === wanted ? 1 : 0), 0);
    const enough = (matching: readonly Perspective[]) =>
      counted.length >= policy.perspectives &&
      matching.length >= required &&
      regionsOf(matching) >= policy.minRegions &&
      networksOf(matching) >= policy.minNetworks;

    const matches = some('match');
    const mismatches = count('mismatch');
    const pending = count('pending') + count('doubtful');

    const outcome = ((): Outcome => {
      if (enough(matches)) return 'corroborated';
      if (mismatches > 0 && !enough(some('match', 'inconclusive', 'doubtful', 'pending'))) return 'mismatch';
      const hopeless = !enough(some('match', 'pending'));
      const mayStillMismatch = pending > 0 && !enough(some('match', 'inconclusive'));
      return hopeless && !mayStillMismatch ? 'inconclusive' : 'pending';
    })();

    return {
      outcome,
      counted: names,
      required,
      matches: matches.length,
      mismatches,
      inconclusive: count('inconclusive'),
      pending,
      regions: regionsOf(matches),
      networks: networksOf(matches),
    };
  };
}

const regionsOf = (some: readonly Perspective[]) => new Set(some.map(({ rir }) => rir)).size;
const networksOf = (some: readonly Perspective[]) => new Set(some.map(({ asn }) => asn)).size;
