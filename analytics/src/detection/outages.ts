import { Cusum } from './cusum.ts';
import type { Rules } from './rules.ts';
import type { Place, Sighting } from './sighting.ts';

/** Several agents of one country that fail where others do not. */
export interface Outage {
  readonly country: string;
  readonly places: readonly Place[];
  readonly since: number;
  /** 0 to 1. */
  readonly confidence: number;
  /** It holds for every agent of the country that is heard. */
  readonly whole: boolean;
}

/** One agent that fails where others, also beside it, do not. */
export interface Failing {
  readonly place: Place;
  readonly since: number;
  readonly confidence: number;
}

interface Unit {
  readonly place: Place;
  readonly cusum: Cusum;
  readonly ofNetwork: Cusum;
  readonly ofCountry: Cusum;
}

/** Agents not heard for this long are not counted. */
const heardMs = 300_000;
/** The common rate follows at this pace. */
const pace = 0.0005;
/** Agents in a registry; more would be made up. */
const maxAgents = 2000;

/** Change points of failure rates by agent, network and country. Failures count where others get an answer. */
export class Outages {
  readonly #agents = new Map<string, Unit>();
  readonly #networks = new Map<string, Cusum>();
  readonly #countries = new Map<string, Cusum>();
  #common = 0.01;

  add(sighting: Place & Pick<Sighting, 'at'>, failed: boolean, rules: Rules): void {
    const { agent, country, rir, asn, at } = sighting;
    const known = this.#agents.get(agent);
    if (!known && this.#agents.size >= maxAgents) return;
    let unit = known;
    // It may have moved.
    if (!unit || unit.place.asn !== asn || unit.place.country !== country) {
      unit = {
        place: { agent, country, rir, asn },
        cusum: known?.cusum ?? new Cusum(),
        ofNetwork: of(this.#networks, `${country} ${asn}`),
        ofCountry: of(this.#countries, country),
      };
      this.#agents.set(agent, unit);
    }
    for (const cusum of [unit.cusum, unit.ofNetwork, unit.ofCountry]) {
      cusum.add(failed, at, this.#common, rules.outage);
    }
    this.#common += pace * ((failed ? 1 : 0) - this.#common);
  }

  /** What is out now. */
  evaluate(now: number, { outage: { alarm, together } }: Rules): { outages: Outage[]; failing: Failing[] } {
    const outages: Outage[] = [];
    const failing: Failing[] = [];
    const byCountry = Map.groupBy(
      [...this.#agents.values()].filter(({ cusum }) => cusum.lastAt > now - heardMs),
      ({ place }) => place.country,
    );
    for (const [country, units] of byCountry) {
      const out = units.filter(({ cusum }) => cusum.sum >= together * alarm);
      const networks = new Set(out.map(({ place }) => place.asn));
      const alarmed =
        this.#countries.get(country)!.sum >= alarm ||
        [...networks].some((asn) => this.#networks.get(`${country} ${asn}`)!.sum >= alarm) ||
        out.some(({ cusum }) => cusum.sum >= alarm);
      if (!alarmed || out.length === 0) continue;
      const since = Math.min(...out.map(({ cusum }) => cusum.since));
      const confidence = 1 - Math.exp(-Math.max(...out.map(({ cusum }) => cusum.sum)) / 3);
      const places = out.map(({ place }) => place);
      if (places.length > 1) {
        outages.push({ country, places, since, confidence, whole: out.length === units.length });
      } else if (out[0]!.cusum.sum >= alarm) failing.push({ place: places[0]!, since, confidence });
    }
    return { outages, failing };
  }
}

function of(units: Map<string, Cusum>, name: string): Cusum {
  let found = units.get(name);
  if (!found) units.set(name, (found = new Cusum()));
  return found;
}
