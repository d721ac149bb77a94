import { type QuorumPolicy, defaultQuorumPolicy } from '@mecai/corroboration';
import { describe, expect, test } from 'vitest';
import { asGraph } from './as-graph.ts';
import { type Captures, resilience, simulateAttacks } from './resilience.ts';
import { searchSites } from './search.ts';
import { type Site, parseSites, syntheticSites } from './sites.ts';
import { syntheticInternet } from './synthetic.ts';

const internet = syntheticInternet(2_000, 3);
const graph = asGraph(internet);
const sites = syntheticSites(internet, 3);
const setting = { kind: 'equally-specific', attacks: 300, seed: 11, validatingShare: 0 } as const;

/** Six places far apart, in three regions and six networks. */
const six: Site[] = (['arin', 'arin', 'ripencc', 'ripencc', 'apnic', 'apnic'] as const).map((rir, i) => ({
  name: `site-${i}`,
  keyId: `site-${i}`,
  city: 'A',
  country: 'AA',
  latitude: -60 + i * 20,
  longitude: 0,
  rir,
  asn: 100 + i,
}));
const captured = (...rows: readonly string[]): Captures => ({
  sites: six,
  attacks: rows.length,
  misled: Uint8Array.from(rows.join(''), Number),
});
const everyone = [0, 1, 2, 3, 4, 5];

test('an attack gains a voucher where the quorum rule says so: four of six in two regions', () => {
  expect(resilience(defaultQuorumPolicy, captured('111100'), everyone)).toEqual({ resisted: 0, noticed: 1 });
  expect(resilience(defaultQuorumPolicy, captured('111000'), everyone)).toEqual({ resisted: 1, noticed: 1 });
  expect(resilience(defaultQuorumPolicy, captured('111111'), everyone)).toEqual({ resisted: 0, noticed: 0 });
  expect(resilience(defaultQuorumPolicy, captured('000000', '111110'), everyone)).toEqual({
    resisted: 0.5,
    noticed: 1,
  });
  const threeRegions: QuorumPolicy = { ...defaultQuorumPolicy, minRegions: 3 };
  expect(resilience(threeRegions, captured('111100'), everyone).resisted).toBe(1);
});

test('more sites than a draw takes: the mean over draws', () => {
  const captures = simulateAttacks(graph, sites, setting);
  const { resisted, noticed } = resilience(defaultQuorumPolicy, captures, [...sites.keys()]);
  expect(resisted).toBeGreaterThan(0.2);
  expect(resisted).toBeLessThan(noticed);
});

test('sites that cannot meet the policy', () => {
  expect(() => resilience(defaultQuorumPolicy, captured('111111'), [0, 1, 2, 3, 4])).toThrow(
    expect.objectContaining({ code: 'too-few-sites' }),
  );
});

describe('simulation', () => {
  test('the same seed, the same attacks; another seed, others', () => {
    const once = simulateAttacks(graph, sites, setting);
    expect(simulateAttacks(graph, sites, setting)).toEqual(once);
    expect(simulateAttacks(graph, sites, { ...setting, seed: 12 }).misled).not.toEqual(once.misled);
  });

  test('who validates is misled less', () => {
    const misled = (validatingShare: number) =>
      simulateAttacks(graph, sites, { ...setting, validatingShare }).misled.reduce(
        (sum, one) => sum + one,
        0,
      );
    expect(misled(0.5)).toBeLessThan(misled(0) / 2);
  });

  test('a longer prefix reaches everyone: no placement helps', () => {
    const captures = simulateAttacks(graph, sites, { ...setting, kind: 'sub-prefix' });
    expect(resilience(defaultQuorumPolicy, captures, [...sites.keys()]).resisted).toBeLessThan(0.05);
  });

  test('tells how far it is', () => {
    const told: number[] = [];
    simulateAttacks(graph, sites, { ...setting, attacks: 3 }, (done) => told.push(done));
    expect(told).toEqual([1, 2, 3]);
  });

  test('a site whose AS is not in the graph', () => {
    expect(() => simulateAttacks(graph, [{ ...six[0]!, asn: 99_999 }], setting)).toThrow(/AS99999/);
  });
});

describe('search', () => {
  const captures = simulateAttacks(graph, sites, setting);

  test('ends in a set that no single swap betters, and that is better than the start', () => {
    const improved: number[] = [];
    const found = searchSites(defaultQuorumPolicy, captures, 6, undefined, ({ resisted }) =>
      improved.push(resisted),
    );
    expect(improved.length).toBeGreaterThan(0);
    expect(improved).toEqual(improved.toSorted((a, b) => a - b));
    for (const out of found.chosen) {
      for (const candidate of sites.keys()) {
        if (found.chosen.includes(candidate)) continue;
        const swapped = [...found.chosen.filter((at) => at !== out), candidate];
        if (!regionsOf(swapped).every((count) => count <= 2)) continue;
        let resisted = 0;
        try {
          resisted = resilience(defaultQuorumPolicy, captures, swapped).resisted;
        } catch {
          continue;
        }
        expect(resisted).toBeLessThanOrEqual(found.resisted);
      }
    }
  });

  const regionsOf = (chosen: readonly number[]) =>
    [...Map.groupBy(chosen, (at) => sites[at]!.rir).values()].map(({ length }) => length);

  test('no region or network has more of six than a quorum can do without, though others resist more', () => {
    expect(sites.length).toBe(new Set(sites.map(({ asn }) => asn)).size);
    const found = searchSites(defaultQuorumPolicy, captures, 6);
    expect(found.outlivesLoss).toBe(true);
    expect(Math.max(...regionsOf(found.chosen))).toBe(2);
    // The same places, rented from five hosters.
    const rented = { ...captures, sites: sites.map((site, at) => ({ ...site, asn: 64_500 + (at % 5) })) };
    const spread = searchSites(defaultQuorumPolicy, rented, 6);
    expect(spread.outlivesLoss).toBe(true);
    const networks = Map.groupBy(spread.chosen, (at) => rented.sites[at]!.asn);
    for (const members of networks.values()) expect(members.length).toBeLessThanOrEqual(2);
  });

  test('two regions cannot outlive the loss of one: says so, and looks all the same', () => {
    const near = [...sites.keys()].filter((at) => ['arin', 'ripencc'].includes(sites[at]!.rir));
    const misled = Uint8Array.from({ length: captures.attacks * near.length }, (_, i) => {
      const row = Math.floor(i / near.length);
      return captures.misled[row * sites.length + near[i % near.length]!]!;
    });
    const few = { ...captures, sites: near.map((at) => sites[at]!), misled };
    expect(searchSites(defaultQuorumPolicy, few, 6).outlivesLoss).toBe(false);
  });

  test('a size that the policy or the sites do not allow', () => {
    for (const size of [5, sites.length + 1]) {
      expect(() => searchSites(defaultQuorumPolicy, captures, size)).toThrow(/a set of/);
    }
  });
});

describe('sites', () => {
  const entry = { name: 'a', city: 'A', country: 'DE', latitude: 1, longitude: 2, rir: 'ripencc', asn: 3 };

  test('as sites, or as the agents of a registry', () => {
    const wanted = [{ ...entry, keyId: 'a' }];
    expect(parseSites(JSON.stringify({ sites: [entry] }))).toEqual(wanted);
    expect(parseSites(JSON.stringify({ version: 1, agents: [{ ...entry, publicKey: 'x' }] }))).toEqual(
      wanted,
    );
  });

  test.each([
    ['{', 'not JSON'],
    ['[]', 'a list'],
    ['null', 'a list'],
    [JSON.stringify({ sites: [entry, entry] }), 'sites[1].name: a twice'],
    [JSON.stringify({ sites: [{ ...entry, rir: 'x' }] }), 'sites[0].rir'],
    [JSON.stringify({ sites: [{ ...entry, asn: 1.5 }] }), 'sites[0].asn'],
    [JSON.stringify({ sites: [{ ...entry, latitude: 91 }] }), 'sites[0].latitude'],
    [JSON.stringify({ sites: [3] }), 'sites[0]'],
  ])('%s', (text, message) => {
    expect(() => parseSites(text)).toThrow(message);
  });
});

test('a synthetic internet has the shape of the real one', () => {
  const { transit, peering, regions } = syntheticInternet(10_000, 1);
  const providers = new Set(transit.map(([provider]) => provider));
  expect(regions.size).toBe(10_000);
  expect(providers.size / 10_000).toBeLessThan(0.2);
  expect((transit.length + peering.length) / 10_000).toBeGreaterThan(2);
  expect(syntheticInternet(10_000, 1).transit).toEqual(transit);
  expect(syntheticInternet(10_000, 2).transit).not.toEqual(transit);
  expect(() => syntheticInternet(49, 1)).toThrow(/50 to 200000/);
});
