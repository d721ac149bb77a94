import type { Difference } from './differences.ts';
import type { Endpoint, View } from './endpoint.ts';
import { type Reputation, networkOf } from './reputation.ts';
import type { Rules, Sign } from './rules.ts';
import type { Place } from './sighting.ts';

/** Differences with one signer in one place, and what they add up to. */
export interface Suspicion {
  readonly differences: readonly Difference[];
  readonly places: readonly Place[];
  readonly signs: readonly Sign[];
  /** What agents saw without SNI, if that tells. */
  readonly controls: readonly ControlView[];
  /** 0 to 1. */
  readonly confidence: number;
  readonly since: number;
}

export interface ControlView {
  readonly endpoint: Endpoint;
  readonly view: View;
}

/** Looks up the same address without SNI. */
export type Control = (endpoint: Endpoint) => Endpoint | undefined;

const onsetMs = 120_000;

/**
 * Groups what is not benign by who signed it and where it is seen. A public issuer signs for everybody, so its
 * name brings nothing together; its certificates are grouped by key.
 */
export function groupsOf(
  differences: readonly Difference[],
  isPublic: (issuer: string) => boolean,
): Difference[][] {
  const bySigner = new Map<string, Difference[]>();
  for (const difference of differences) {
    const { issuer, spki } = difference.key;
    // A middlebox may copy the issuers' names, but has one key.
    const signers = isPublic(issuer) ? [spki] : [issuer, spki];
    const mine = signers.map((signer) => bySigner.get(signer)).find(Boolean) ?? [];
    mine.push(difference);
    for (const signer of signers) bySigner.set(signer, mine);
  }
  return [...new Set(bySigner.values())].flatMap(byPlace);
}

/** By country, or by region for what crosses borders; what is seen in two regions was left out before. */
function byPlace(differences: readonly Difference[]): Difference[][] {
  const countriesOf = ({ inside }: Difference) => new Set(inside.map(({ place }) => place.country));
  const wide = new Set<string>();
  for (const difference of differences) {
    if (countriesOf(difference).size > 1) wide.add(difference.inside[0]!.place.rir);
  }
  const groups = new Map<string, Difference[]>();
  for (const difference of differences) {
    const { rir, country } = difference.inside[0]!.place;
    const where = wide.has(rir) ? rir : country;
    groups.set(where, [...(groups.get(where) ?? []), difference]);
  }
  return [...groups.values()];
}

/** Adds up what speaks for an interception. */
export function weigh(
  differences: readonly Difference[],
  reputation: Reputation,
  control: Control,
  rules: Rules,
): Suspicion {
  const places = new Map(
    differences.flatMap(({ inside }) => inside.map(({ place }) => [place.agent, place])),
  );
  const signs = signsOf(differences, [...places.values()], reputation, control, rules);
  const sum = signs.reduce((total, sign) => total + rules.weights[sign], rules.weights.prior);
  return {
    differences,
    places: [...places.values()],
    signs,
    controls: signs.includes('sni-triggered')
      ? differences.flatMap((difference) => controlsOf(difference, control))
      : [],
    confidence: 1 / (1 + Math.exp(-sum)),
    since: Math.min(...differences.map(({ key }) => key.firstAt)),
  };
}

function signsOf(
  differences: readonly Difference[],
  places: readonly Place[],
  reputation: Reputation,
  control: Control,
  rules: Rules,
): Sign[] {
  const signs: Sign[] = [];
  const some = (holds: (difference: Difference) => boolean) => differences.some(holds);
  const unknown = some(({ key }) => reputation.endpointsOf(key.issuer) < rules.publicIssuer);
  const isNew = some(
    ({ endpoint, key }) => reputation.uses(endpoint, key.issuer, rules.knownNetwork) === false,
  );
  if (unknown) signs.push('unknown-issuer');
  else if (isNew) signs.push('new-issuer');
  const networks = new Set(differences.map(({ endpoint }) => networkOf(endpoint))).size;
  if (networks > 1) signs.push(networks > 2 ? 'many-networks-of-servers' : 'two-networks-of-servers');
  const keys = new Map<string, Set<string>>();
  for (const { key, genuine } of differences) {
    keys.set(key.spki, (keys.get(key.spki) ?? new Set()).add(genuine.spki));
  }
  if ([...keys.values()].some((genuine) => genuine.size > 1)) signs.push('one-key');

  const asns = new Set(places.map(({ asn }) => asn)).size;
  signs.push(places.length === 1 ? 'one-agent' : asns > 1 ? 'several-networks' : 'one-network');
  const wide = new Set(places.map(({ country }) => country)).size > 1;
  if (!unknown && wide) signs.push('several-countries');
  if (!unknown && !some(neighboursAgree)) signs.push('no-neighbour');
  if (some(({ outside }) => outside.length >= 3)) signs.push('contrast');

  if (unknown && some(({ key, genuine }) => key.covers || key.subject === genuine.subject)) {
    signs.push('copied-subject');
  }
  if (differences.every(({ key }) => !key.covers)) signs.push('other-name');
  if ((unknown || (isNew && !wide)) && some((difference) => sniTriggered(difference, control)))
    signs.push('sni-triggered');
  const onsets = differences.map(({ key }) => key.firstAt).toSorted((a, b) => a - b);
  if (onsets.some((at, i) => i >= 2 && at - onsets[i - 2]! <= onsetMs)) signs.push('simultaneous-onset');
  if (!some(({ inside }) => inside.some(({ changed }) => changed))) {
    signs.push('never-other');
    if (reputation.learned < rules.youngMemory) signs.push('young-memory');
  }
  return signs;
}

/** Another country of the same region sees the genuine key, after the other one had been seen. */
const neighboursAgree = ({ key, inside, outside }: Difference) =>
  outside.some(({ place, at }) => place.rir === inside[0]!.place.rir && at > key.firstAt);

/** What those who see either key with SNI saw without it since. */
function controlsOf({ endpoint, key, inside, outside }: Difference, control: Control): ControlView[] {
  const without = control(endpoint);
  if (!without) return [];
  return [...inside, ...outside].flatMap(({ place }) => {
    const view = without.views.get(place.agent);
    return view && view.at >= key.firstAt ? [{ endpoint: without, view }] : [];
  });
}

/** The agents that see another key with SNI see, without it, what others see without it. */
function sniTriggered({ endpoint, key, inside, outside }: Difference, control: Control): boolean {
  const views = control(endpoint)?.views;
  if (!views) return false;
  const seen = (agent: string) => {
    const view = views.get(agent);
    return view && view.at >= key.firstAt ? view.spki : undefined;
  };
  const elsewhere = new Set(outside.flatMap(({ place }) => seen(place.agent) ?? []));
  return inside.some(({ place }) => {
    const spki = seen(place.agent);
    return spki !== undefined && spki !== key.spki && elsewhere.has(spki);
  });
}
