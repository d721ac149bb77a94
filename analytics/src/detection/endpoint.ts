import type { Verdict } from '../rows.ts';
import type { EndpointName, Place, Sighting } from './sighting.ts';

/** A key that an endpoint has shown. */
export interface SeenKey {
  readonly spki: string;
  readonly leaf: string;
  readonly issuer: string;
  readonly subject: string;
  /** The certificate is for the server name. */
  readonly covers: boolean;
  readonly firstAt: number;
  lastAt: number;
  /** Countries it was ever seen from, and their regions. */
  readonly countries: Set<string>;
  readonly rirs: Set<string>;
}

/** What an agent saw last at an endpoint. */
export interface View {
  readonly place: Place;
  spki: string;
  at: number;
  /** The observation, as evidence. */
  id: string;
  /** It has seen another key here before. */
  changed: boolean;
}

/** Keys remembered of one endpoint; more come from servers that make a key a connection, or from attackers. */
const maxKeys = 8;

/** What is known of one endpoint. Its memory is bounded: keys by `maxKeys`, views by the number of agents. */
export class Endpoint {
  readonly name: EndpointName;
  readonly targetAsn: number;
  /** When it last answered, from which country; and the same for the country before that. */
  #answered: readonly [{ at: number; country: string }, { at: number; country: string }] = [
    { at: Number.NEGATIVE_INFINITY, country: '' },
    { at: Number.NEGATIVE_INFINITY, country: '' },
  ];
  readonly keys = new Map<string, SeenKey>();
  readonly views = new Map<string, View>();

  constructor(name: EndpointName, targetAsn: number) {
    this.name = name;
    this.targetAsn = targetAsn;
  }

  /** Takes in a proven sighting. */
  see(sighting: Sighting): SeenKey {
    const { spki, at, country } = sighting;
    const key = this.remember(sighting, at);
    const [last, before] = this.#answered;
    if (last.country === country) last.at = at;
    else this.#answered = [{ at, country }, last.country === '' ? before : last];
    const view = this.views.get(sighting.agent);
    if (!view) {
      const { agent, rir, asn, id } = sighting;
      this.views.set(agent, { place: { agent, country, rir, asn }, spki, at, id, changed: false });
    } else if (at >= view.at) {
      if (view.spki !== spki) view.changed = true;
      view.spki = spki;
      view.at = at;
      view.id = sighting.id;
    }
    return key;
  }

  /** Takes in a key, seen from there for the first and last time at these moments. */
  remember(first: Sighting, lastAt: number): SeenKey {
    const { spki, at } = first;
    let key = this.keys.get(spki);
    if (!key) {
      const { leaf, issuer, subject, dnsNames, serverName } = first;
      key = {
        spki,
        leaf,
        issuer,
        subject,
        covers: dnsNames.some((pattern) => covers(pattern, serverName)),
        firstAt: at,
        lastAt,
        countries: new Set(),
        rirs: new Set(),
      };
      this.keys.set(spki, key);
      if (this.keys.size > maxKeys) this.#forgetOneBut(key);
    }
    key.lastAt = Math.max(key.lastAt, lastAt);
    key.countries.add(first.country);
    key.rirs.add(first.rir);
    return key;
  }

  /** First opinion about a sighting taken in just now; see `observations.verdict`. */
  judge({ spki, country, at }: Sighting, viewMs: number): Verdict {
    if (this.keys.size === 1) return this.keys.get(spki)!.countries.size > 1 ? 'match' : 'new';
    let others = 0;
    for (const view of this.views.values()) {
      if (view.place.country === country || view.at < at - viewMs) continue;
      if (view.spki === spki) return 'match';
      others++;
    }
    return others > 0 ? 'mismatch' : 'new';
  }

  /** When it last answered to an agent of another country. */
  answeredElsewhere(country: string): number {
    const [last, before] = this.#answered;
    return last.country === country ? before.at : last.at;
  }

  /** The key not seen for longest goes. */
  #forgetOneBut(newest: SeenKey): void {
    let oldest: SeenKey | undefined;
    for (const key of this.keys.values()) {
      if (key !== newest && (!oldest || key.lastAt < oldest.lastAt)) oldest = key;
    }
    this.keys.delete(oldest!.spki);
    for (const [agent, view] of this.views) if (view.spki === oldest!.spki) this.views.delete(agent);
  }
}

/** As browsers match names: one label for the star (RFC 9525 section 6.3). */
function covers(pattern: string, name: string): boolean {
  const lower = pattern.toLowerCase();
  return lower.startsWith('*.') ? name.slice(name.indexOf('.')) === lower.slice(1) : lower === name;
}
