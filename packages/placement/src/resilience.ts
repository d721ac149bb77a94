/** How many hijacks a set of perspectives withstands: routing decides who is misled, the quorum rule what follows. */
import {
  CorroborationError,
  type Perspective,
  type QuorumPolicy,
  drawPerspectives,
  evaluateQuorum,
} from '@mecai/corroboration';
import { type AsGraph, positionOf } from './as-graph.ts';
import { PlacementError } from './error.ts';
import { seeded } from './random.ts';
import { type HijackKind, Routing, attacker } from './routing.ts';
import type { Site } from './sites.ts';

export interface AttackSetting {
  readonly kind: HijackKind;
  /** Pairs of victim and attacker, any two ASes. */
  readonly attacks: number;
  readonly seed: number;
  /** Share of ASes, chosen by the seed, that drop what RPKI calls invalid. */
  readonly validatingShare: number;
}

/** Who was misled: a row an attack, a column a site. */
export interface Captures {
  readonly sites: readonly Site[];
  readonly attacks: number;
  /** 1 where the site's AS follows the attacker. */
  readonly misled: Uint8Array;
}

/**
 * @param progress called after each attack with how many are done
 * @throws PlacementError `unknown-as`, `bad-setting`
 */
export function simulateAttacks(
  graph: AsGraph,
  sites: readonly Site[],
  { kind, attacks, seed, validatingShare }: AttackSetting,
  progress?: (done: number) => void,
): Captures {
  const size = graph.asns.length;
  if (size < 2) throw new PlacementError('bad-setting', 'a hijack needs two ASes');
  const random = seeded(seed);
  const validating = Uint8Array.from({ length: size }, () => (random.next() < validatingShare ? 1 : 0));
  const positions = sites.map(({ asn }) => positionOf(graph, asn));
  const routing = new Routing(graph);
  const misled = new Uint8Array(attacks * sites.length);
  for (let attack = 0; attack < attacks; attack++) {
    const victim = random.below(size);
    const other = random.below(size - 1);
    const origin = routing.follow({ kind, victim, attacker: other < victim ? other : other + 1, validating });
    positions.forEach((position, site) => {
      misled[attack * sites.length + site] = origin[position] === attacker ? 1 : 0;
    });
    progress?.(attack + 1);
  }
  return { sites, attacks, misled };
}

export interface Resilience {
  /** Share of attacks, over all draws, that get no voucher. */
  readonly resisted: number;
  /** Share of attacks that at least one perspective drawn contradicts: they become an event. */
  readonly noticed: number;
}

/** Draws looked at when there are more perspectives than a draw takes. */
const draws = 16;

/**
 * @param chosen positions in `captures.sites`: the registry looked at
 * @throws PlacementError `too-few-sites` when they cannot meet the policy
 */
export function resilience(policy: QuorumPolicy, captures: Captures, chosen: readonly number[]): Resilience {
  const { sites, attacks, misled } = captures;
  const registered = chosen.map((at) => sites[at]!);
  const column = new Map(chosen.map((at) => [sites[at]!.name, at]));
  let resisted = 0;
  let noticed = 0;
  const count = registered.length > policy.perspectives ? draws : 1;
  for (let i = 0; i < count; i++) {
    const drawn = draw(policy, registered, i);
    const columns = drawn.map(({ name }) => column.get(name)!);
    const gains = voucherByPattern(policy, drawn);
    for (let attack = 0; attack < attacks; attack++) {
      let pattern = 0;
      for (const [bit, at] of columns.entries()) pattern |= misled[attack * sites.length + at]! << bit;
      if (gains[pattern] === 0) resisted++;
      if (pattern !== (1 << columns.length) - 1) noticed++;
    }
  }
  return { resisted: resisted / (attacks * count), noticed: noticed / (attacks * count) };
}

function draw(policy: QuorumPolicy, registered: readonly Perspective[], i: number): readonly Perspective[] {
  try {
    return drawPerspectives(policy, registered, Buffer.from('placement'), Buffer.from([i]));
  } catch (cause) {
    if (!(cause instanceof CorroborationError)) throw cause;
    throw new PlacementError('too-few-sites', cause.message, { cause });
  }
}

/** For each set of misled perspectives, as bits in the order drawn: 1 where the attacker's chain is corroborated. */
function voucherByPattern(policy: QuorumPolicy, drawn: readonly Perspective[]): Uint8Array {
  return Uint8Array.from({ length: 1 << drawn.length }, (_, pattern) => {
    const judgements = new Map(
      drawn.map(({ name }, bit) => [name, { verdict: (pattern >> bit) & 1 ? 'match' : 'mismatch' } as const]),
    );
    return evaluateQuorum(policy, drawn, [judgements]).outcome === 'corroborated' ? 1 : 0;
  });
}
