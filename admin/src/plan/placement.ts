/** `mecai-admin plan placement`: how many hijacks the quorum resists from these sites, and from better ones. */
import { readFileSync } from 'node:fs';
import { type QuorumPolicy, defaultQuorumPolicy } from '@mecai/corroboration';
import {
  type AsGraph,
  type HijackKind,
  PlacementError,
  type Resilience,
  type Site,
  asGraph,
  hijackKinds,
  parseAsRel,
  parseSites,
  resilience,
  searchSites,
  simulateAttacks,
  syntheticInternet,
  syntheticSites,
} from '@mecai/placement';

export interface PlacementQuestion {
  /** File in CAIDA's as-rel format, or a number of ASes of a synthetic internet. */
  readonly graph: string | number;
  /** File; without one, the places that come with a synthetic internet. */
  readonly sites: string | undefined;
  readonly attacks: number;
  readonly seed: number;
  readonly validatingShare: number;
  /** Sites of the better sets that are looked for; 0: none. */
  readonly search: number;
}

export interface PlacementAnswer {
  readonly ases: number;
  readonly attacks: number;
  readonly seed: number;
  readonly validatingShare: number;
  readonly policy: QuorumPolicy;
  readonly kinds: readonly KindAnswer[];
}

interface KindAnswer {
  readonly kind: HijackKind;
  /** Of one site alone, the mean over sites: what a single vantage point resists. */
  readonly single: number;
  readonly given: Resilience & { readonly sites: readonly string[] };
  readonly better?: Resilience & { readonly sites: readonly string[]; readonly outlivesLoss: boolean };
}

/**
 * @param progress lines on how far it is
 * @throws PlacementError
 */
export function placement(question: PlacementQuestion, progress: (line: string) => void): PlacementAnswer {
  const { attacks, seed, validatingShare, search } = question;
  const { graph, sites } = read(question);
  const kinds = hijackKinds.map((kind): KindAnswer => {
    progress(`${kind}: ${attacks} attacks on ${graph.asns.length} ASes …`);
    const tenth = Math.max(50, Math.ceil(attacks / 10));
    const captures = simulateAttacks(graph, sites, { kind, attacks, seed, validatingShare }, (done) => {
      if (done % tenth === 0 && done < attacks) progress(`${kind}: ${done} of ${attacks}`);
    });
    const everyone = [...sites.keys()];
    const given = resilience(defaultQuorumPolicy, captures, everyone);
    const found = search > 0 ? searchSites(defaultQuorumPolicy, captures, search) : undefined;
    const named = (chosen: readonly number[]) => chosen.map((at) => sites[at]!.name);
    return {
      kind,
      single: 1 - captures.misled.reduce((sum, one) => sum + one, 0) / captures.misled.length,
      given: { ...given, sites: named(everyone) },
      ...(found && {
        better: {
          resisted: found.resisted,
          noticed: found.noticed,
          outlivesLoss: found.outlivesLoss,
          sites: named(found.chosen),
        },
      }),
    };
  });
  return { ases: graph.asns.length, attacks, seed, validatingShare, policy: defaultQuorumPolicy, kinds };
}

function read({ graph, sites, seed }: PlacementQuestion): { graph: AsGraph; sites: readonly Site[] } {
  const given = sites === undefined ? undefined : parseSites(readFileSync(sites, 'utf8'));
  if (typeof graph === 'string') {
    if (!given) throw new PlacementError('bad-sites', 'a real AS graph needs --sites with real AS numbers');
    return { graph: parseAsRel(readFileSync(graph, 'utf8')), sites: given };
  }
  const internet = syntheticInternet(graph, seed);
  return { graph: asGraph(internet), sites: given ?? syntheticSites(internet, seed) };
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`.padStart(8);

export function placementWords(answer: PlacementAnswer): string {
  const { ases, attacks, seed, validatingShare, kinds } = answer;
  const lines = [
    `${attacks} attacks of each kind on ${ases} ASes, seed ${seed}, ` +
      `${(validatingShare * 100).toFixed(0)} % of ASes drop what RPKI calls invalid`,
    '',
    `${'hijack'.padEnd(18)}${'one site'.padStart(10)}${'quorum'.padStart(10)}${'noticed'.padStart(10)}`,
  ];
  for (const { kind, single, given, better } of kinds) {
    lines.push(
      `${kind.padEnd(18)}  ${percent(single)}  ${percent(given.resisted)}  ${percent(given.noticed)}   ` +
        `${given.sites.length} sites given`,
    );
    if (better) {
      const none = better.resisted <= given.resisted;
      lines.push(
        `${''.padEnd(28)}  ${percent(better.resisted)}  ${percent(better.noticed)}   ` +
          `${none ? 'none better: ' : ''}${better.sites.join(', ')}`,
      );
    }
  }
  lines.push(
    '',
    'one site: attacks that a single vantage point would not fall for. quorum: attacks that get no voucher.',
    'noticed: attacks that at least one perspective contradicts, so that they become an event.',
    ...(kinds.some(({ better }) => better)
      ? [
          kinds.every(({ better }) => better?.outlivesLoss)
            ? 'Better sets are those that keep a quorum when any one region or network is lost.'
            : 'From these sites no set was found that keeps a quorum when a region or a network is lost.',
        ]
      : []),
    'A longer prefix is heard everywhere: only route origin validation helps against it, no placement does.',
  );
  return lines.join('\n');
}
