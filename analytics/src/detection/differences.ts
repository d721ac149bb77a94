import type { Endpoint, SeenKey, View } from './endpoint.ts';
import type { Rules } from './rules.ts';

/** A key that some agents see at an endpoint while others, at the same time, see the one that prevails. */
export interface Difference {
  readonly endpoint: Endpoint;
  readonly key: SeenKey;
  readonly genuine: SeenKey;
  /** Present views of the key. */
  readonly inside: readonly View[];
  /** Views of the other key from other countries, as recent as the first of this one. */
  readonly outside: readonly View[];
  /** Why it is no interception, if it is not. */
  readonly benign: Benign | undefined;
}

export type Benign =
  /** Nobody elsewhere has seen the other key since: the server may have changed for all. Look again. */
  | 'rotation'
  /** Seen from other regions as well: a network of servers with several keys, or anycast. */
  | 'several-regions'
  /** The issuer is the one that signed the prevailing certificate. */
  | 'same-issuer'
  /** The issuer is one that this network of servers uses elsewhere. */
  | 'known-issuer'
  /** So for long, without spreading. */
  | 'standing';

export interface Memory {
  /** The issuer is public, and one that the endpoint's network of servers uses. */
  readonly usual: (endpoint: Endpoint, key: SeenKey) => boolean;
  /** Part of an open incident already. */
  readonly watched: (endpoint: Endpoint, key: SeenKey) => boolean;
}

/** What an endpoint shows to some and not to others at this moment. */
export function differencesOf(
  endpoint: Endpoint,
  now: number,
  rules: Rules,
  { usual, watched }: Memory,
): Difference[] {
  const byKey = new Map<string, View[]>();
  for (const view of endpoint.views.values()) {
    if (view.at < now - rules.viewMs) continue;
    const views = byKey.get(view.spki);
    if (views) views.push(view);
    else byKey.set(view.spki, [view]);
  }
  if (byKey.size < 2) return [];
  const genuine = prevailing(endpoint, byKey);
  const found: Difference[] = [];
  for (const [spki, inside] of byKey) {
    const key = endpoint.keys.get(spki);
    if (!key || key === genuine) continue;
    const countries = new Set(inside.map(({ place }) => place.country));
    const outside = byKey
      .get(genuine.spki)!
      .filter(({ place, at }) => !countries.has(place.country) && at >= key.firstAt - rules.contemporaryMs);
    found.push({
      endpoint,
      key,
      genuine,
      inside,
      outside,
      benign: watched(endpoint, key)
        ? undefined
        : benignOf(key, genuine, inside, outside, now, rules, usual(endpoint, key)),
    });
  }
  return found;
}

/** The key is what agents of several regions see, more than one of them elsewhere, and nobody has seen another since. */
export function hasReplaced(endpoint: Endpoint, { spki }: SeenKey, now: number, { goneMs }: Rules): boolean {
  for (const other of endpoint.keys.values()) {
    if (other.spki !== spki && other.lastAt > now - goneMs) return false;
  }
  const inside = [...endpoint.views.values()].filter((view) => view.spki === spki && view.at > now - goneMs);
  const [, ...others] = [...Map.groupBy(inside, ({ place }) => place.rir).values()].toSorted(
    (a, b) => b.length - a.length,
  );
  return others.flat().length > 1;
}

/** Ever seen from the most regions, then countries, then now by the most agents, then known for longest. */
function prevailing(endpoint: Endpoint, byKey: ReadonlyMap<string, readonly View[]>): SeenKey {
  const ranked = [...byKey].map(([spki, views]) => {
    const key = endpoint.keys.get(spki)!;
    return { key, rank: [key.rirs.size, key.countries.size, views.length, -key.firstAt] };
  });
  return ranked.reduce((best, one) => (above(one.rank, best.rank) ? one : best)).key;
}

function above(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at >= 0 && a[at]! > b[at]!;
}

function benignOf(
  key: SeenKey,
  genuine: SeenKey,
  inside: readonly View[],
  outside: readonly View[],
  now: number,
  rules: Rules,
  usual: boolean,
): Benign | undefined {
  if (key.rirs.size > 1) return 'several-regions';
  if (key.issuer === genuine.issuer) return 'same-issuer';
  if (usual) return 'known-issuer';
  if (key.firstAt < now - rules.standingMs) return 'standing';
  const countries = new Set(outside.map(({ place }) => place.country));
  return countries.size < 2 || outside.length < Math.min(3, inside.length + 1) ? 'rotation' : undefined;
}
