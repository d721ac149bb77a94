import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AsGraph, type Links, asGraph, positionOf } from './as-graph.ts';
import {
  type Announcement,
  type HijackKind,
  Routing,
  attacker,
  hijackKinds,
  nobody,
  victim,
} from './routing.ts';
import { syntheticInternet } from './synthetic.ts';

/** `followed(links, 5, 6)` says for each AS number whom it follows. */
function followed(links: Links, byVictim: number, byAttacker: number, kind: HijackKind = 'equally-specific') {
  const graph = asGraph(links);
  const origin = new Routing(graph).follow({
    kind,
    victim: positionOf(graph, byVictim),
    attacker: positionOf(graph, byAttacker),
  });
  const words: Readonly<Record<number, string>> = {
    [nobody]: '-',
    [victim]: 'victim',
    [attacker]: 'attacker',
  };
  return Object.fromEntries(Array.from(graph.asns, (asn, at) => [asn, words[origin[at]!]]));
}

describe('by hand', () => {
  test('two branches below peering transit: each follows its own', () => {
    const links: Links = {
      peering: [[1, 2]],
      transit: [
        [1, 3],
        [2, 4],
        [3, 5],
        [4, 6],
        [3, 7],
      ],
    };
    expect(followed(links, 5, 6)).toEqual({
      1: 'victim',
      2: 'attacker',
      3: 'victim',
      4: 'attacker',
      5: 'victim',
      6: 'attacker',
      7: 'victim',
    });
  });

  test('a customer before a peer before a provider, however long the path', () => {
    // AS 10 hears the victim by its customer 11 in three hops, and the attacker by its peer 20 in two.
    const links: Links = {
      peering: [[10, 20]],
      transit: [
        [10, 11],
        [11, 12],
        [12, 1],
        [20, 2],
        [10, 30],
        [20, 40],
        [40, 41],
        [10, 41],
      ],
    };
    const seen = followed(links, 1, 2);
    expect(seen[10]).toBe('victim');
    expect(seen[30]).toBe('victim');
    // By its providers 40 (attacker, three hops) and 10 (victim, four): the shorter.
    expect(seen[41]).toBe('attacker');
  });

  test('of equals, the neighbour with the lowest number', () => {
    const links = (low: number, high: number): Links => ({
      peering: [],
      transit: [
        [low, 1],
        [high, 2],
        [low, 50],
        [high, 50],
      ],
    });
    expect(followed(links(10, 20), 1, 2)[50]).toBe('victim');
    expect(followed(links(20, 10), 1, 2)[50]).toBe('attacker');
  });

  test('what a peer told goes to customers, and to no other peer', () => {
    const links: Links = {
      peering: [
        [1, 2],
        [2, 3],
      ],
      transit: [
        [1, 10],
        [2, 20],
        [3, 30],
      ],
    };
    const seen = followed(links, 10, 30);
    expect(seen).toMatchObject({ 2: 'victim', 20: 'victim' });
    // AS 1 hears nothing of AS 3 through AS 2, which is a peer of both.
    const alone = followed(
      {
        ...links,
        transit: [
          [1, 10],
          [3, 30],
          [9, 10],
        ],
      },
      10,
      9,
    );
    expect(alone[3]).toBe('-');
    expect(alone[30]).toBe('-');
  });

  test('a forged origin makes the path one hop longer', () => {
    const links: Links = {
      peering: [],
      transit: [
        [5, 1],
        [5, 2],
        [5, 7],
      ],
    };
    expect(followed({ ...links, transit: [...links.transit] }, 2, 1)[7]).toBe('attacker');
    expect(followed(links, 2, 1, 'forged-origin')[7]).toBe('victim');
  });

  test('a longer prefix wins wherever it is heard, but not with the victim', () => {
    const links: Links = {
      peering: [[1, 2]],
      transit: [
        [1, 3],
        [2, 4],
        [3, 5],
        [8, 5],
      ],
    };
    expect(followed(links, 5, 4, 'sub-prefix')).toEqual({
      1: 'attacker',
      2: 'attacker',
      3: 'attacker',
      4: 'attacker',
      5: 'victim',
      8: 'victim',
    });
  });

  test('who validates drops what RPKI calls invalid, and a forged origin is not', () => {
    const graph = asGraph({
      peering: [],
      transit: [
        [5, 1],
        [5, 2],
        [5, 7],
      ],
    });
    const validating = Uint8Array.from(graph.asns, (asn) => (asn === 5 ? 1 : 0));
    const at = (asn: number) => positionOf(graph, asn);
    const seen = (kind: HijackKind) =>
      new Routing(graph).follow({ kind, victim: at(2), attacker: at(1), validating })[at(7)];
    expect(seen('equally-specific')).toBe(victim);
    expect(seen('sub-prefix')).toBe(victim);
    const nearer = asGraph({
      peering: [],
      transit: [
        [5, 1],
        [5, 3],
        [3, 2],
        [5, 7],
      ],
    });
    const all = new Uint8Array(nearer.asns.length).fill(1);
    const forged: Announcement = {
      kind: 'forged-origin',
      victim: positionOf(nearer, 2),
      attacker: positionOf(nearer, 1),
      validating: all,
    };
    // Both two hops away by customers 1 and 3.
    expect(new Routing(nearer).follow(forged)[positionOf(nearer, 7)]).toBe(attacker);
  });
});

/** The rules taken literally: everyone looks at everyone's routes until nothing changes. */
function literally(graph: AsGraph, { victim: v, attacker: a, kind }: Announcement): number[] {
  interface Route {
    readonly rank: number;
    readonly length: number;
    readonly via: number;
    readonly who: number;
  }
  const routes = Array.from<Route | undefined>({ length: graph.asns.length });
  const own = new Map<number, Route>([
    [v, { rank: 0, length: 0, via: v, who: victim }],
    [a, { rank: 0, length: kind === 'forged-origin' ? 1 : 0, via: a, who: attacker }],
  ]);
  for (const [at, route] of own) routes[at] = route;
  const row = ({ offsets, list }: AsGraph['peers'], at: number) => [
    ...list.subarray(offsets[at], offsets[at + 1]),
  ];
  for (let changed = true; changed; ) {
    changed = false;
    for (let at = 0; at < routes.length; at++) {
      if (own.has(at)) continue;
      const offers: Route[] = [];
      const take = (neighbours: AsGraph['peers'], rank: number, exports: (route: Route) => boolean) => {
        for (const via of row(neighbours, at)) {
          const route = routes[via];
          if (route && exports(route)) offers.push({ rank, length: route.length + 1, via, who: route.who });
        }
      };
      take(graph.customers, 1, ({ rank }) => rank <= 1);
      take(graph.peers, 2, ({ rank }) => rank <= 1);
      take(graph.providers, 3, () => true);
      const [best] = offers.toSorted((x, y) => x.rank - y.rank || x.length - y.length || x.via - y.via);
      if (JSON.stringify(best) !== JSON.stringify(routes[at])) {
        routes[at] = best;
        changed = true;
      }
    }
  }
  return routes.map((route) => route?.who ?? nobody);
}

test('agrees with the rules taken literally, on internets of 60 ASes', () => {
  fc.assert(
    fc.property(
      fc.nat(1_000_000),
      fc.nat(59),
      fc.nat(58),
      fc.constantFrom('equally-specific' as const, 'forged-origin' as const),
      (seed, v, other, kind) => {
        const graph = asGraph(syntheticInternet(60, seed));
        const announcement = { kind, victim: v, attacker: other < v ? other : other + 1 };
        expect([...new Routing(graph).follow(announcement)]).toEqual(literally(graph, announcement));
      },
    ),
    { numRuns: 150 },
  );
});

test('one announcement leaves nothing behind for the next', () => {
  const graph = asGraph(syntheticInternet(200, 5));
  const routing = new Routing(graph);
  const ask = (kind: HijackKind): Announcement => ({ kind, victim: 7, attacker: 150 });
  const fresh = hijackKinds.map((kind) => [...new Routing(graph).follow(ask(kind))]);
  for (const [i, kind] of [...hijackKinds, ...hijackKinds].entries()) {
    expect([...routing.follow(ask(kind))]).toEqual(fresh[i % hijackKinds.length]);
  }
});
