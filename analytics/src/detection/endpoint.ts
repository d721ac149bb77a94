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

/** An answer elsewhere this long ago is as good as one at the same time. */
const atOnceMs = 5_000;
/** An answer elsewhere this long ago makes a failure worth a second look, which has to come within so long. */
const lateMs = 600_000;
const confirmMs = 120_000;
const maxUnconfirmed = 8;

/** What is known of one endpoint. Its memory is bounded: keys by `maxKeys`, views by the number of agents. */
export class Endpoint {
  readonly name: EndpointName;
  readonly targetAsn: number;
  readonly #answered = new Latest();
  readonly #failed = new Latest();
  #unconfirmed: Sighting[] = [];
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
    this.#answered.note(country, at);
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

  /**
   * An agent got no answer.
   *
   * @returns failures that count, because agents of other countries get one
   */
  fail(failure: Sighting): readonly Sighting[] {
    const { country, at } = failure;
    const answered = this.answersElsewhere(country);
    this.#failed.note(country, at);
    // Down there as well: then it is the server.
    this.#unconfirmed = this.#unconfirmed.filter((one) => one.country === country);
    if (answered >= at - atOnceMs) return [failure];
    // It may have gone since for everyone, and this agent be the first to look.
    if (answered >= at - lateMs && this.#unconfirmed.length < maxUnconfirmed) this.#unconfirmed.push(failure);
    return [];
  }

  /** An agent of that country got an answer: failures elsewhere that count now. */
  confirm(country: string, at: number): readonly Sighting[] {
    if (this.#unconfirmed.length === 0) return [];
    const { confirmed = [], still = [] } = Object.groupBy(this.#unconfirmed, (one) =>
      one.country === country ? 'still' : 'confirmed',
    );
    this.#unconfirmed = still;
    return confirmed.filter((one) => one.at >= at - confirmMs);
  }

  /** When it last answered to an agent of another country, if no other has failed since; else never. */
  answersElsewhere(country: string): number {
    const at = this.#answered.elsewhere(country);
    return at >= this.#failed.elsewhere(country) ? at : Number.NEGATIVE_INFINITY;
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

/** When something last happened, by country; of the two countries it happened in last. */
class Latest {
  #last = { at: Number.NEGATIVE_INFINITY, country: '' };
  #before = this.#last;

  note(country: string, at: number): void {
    if (this.#last.country !== country) this.#before = this.#last;
    this.#last = { at, country };
  }

  elsewhere(country: string): number {
    return this.#last.country === country ? this.#before.at : this.#last.at;
  }
}

/** As browsers match names: one label for the star (RFC 9525 section 6.3). */
function covers(pattern: string, name: string): boolean {
  const lower = pattern.toLowerCase();
  return lower.startsWith('*.') ? name.slice(name.indexOf('.')) === lower.slice(1) : lower === name;
}
