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

  /** Takes in a proven sighting. @returns whether the key had not been seen here */
  see(sighting: Sighting): boolean {
    const { spki, at, country, rir } = sighting;
    let key = this.keys.get(spki);
    const isNew = !key;
    if (!key) {
      const { leaf, issuer, subject, dnsNames, serverName } = sighting;
      key = {
        spki,
        leaf,
        issuer,
        subject,
        covers: dnsNames.some((pattern) => covers(pattern, serverName)),
        firstAt: at,
        lastAt: at,
        countries: new Set(),
        rirs: new Set(),
      };
      this.keys.set(spki, key);
      if (this.keys.size > maxKeys) this.#forgetOne();
    }
    key.lastAt = Math.max(key.lastAt, at);
    key.countries.add(country);
    key.rirs.add(rir);
    const [last, before] = this.#answered;
    if (last.country === country) last.at = at;
    else this.#answered = [{ at, country }, last.country === '' ? before : last];
    const view = this.views.get(sighting.agent);
    if (!view) {
      const { agent, asn } = sighting;
      this.views.set(agent, { place: { agent, country, rir, asn }, spki, at, id: sighting.id, changed: false });
    } else if (at >= view.at) {
      if (view.spki !== spki) view.changed = true;
      view.spki = spki;
      view.at = at;
      view.id = sighting.id;
    }
    return isNew;
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
  #forgetOne(): void {
    let oldest: SeenKey | undefined;
    for (const key of this.keys.values()) if (!oldest || key.lastAt < oldest.lastAt) oldest = key;
    this.keys.delete(oldest!.spki);
    for (const [agent, view] of this.views) if (view.spki === oldest!.spki) this.views.delete(agent);
  }
}

/** As browsers match names: one label for the star (RFC 9525 section 6.3). */
function covers(pattern: string, name: string): boolean {
  const lower = pattern.toLowerCase();
  return lower.startsWith('*.') ? name.slice(name.indexOf('.')) === lower.slice(1) : lower === name;
}
