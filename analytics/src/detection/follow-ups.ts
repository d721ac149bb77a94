import type { Difference } from './differences.ts';
import { endpointText } from './incident.ts';
import type { EndpointName } from './sighting.ts';

/** A probe that would tell more: the endpoint again, and once more without SNI. */
export interface FollowUp {
  readonly endpoint: EndpointName;
  /** Countries that see the difference: agents there, and as many elsewhere, should look. */
  readonly countries: readonly string[];
  readonly control: EndpointName;
}

/** At most so many a call, and none twice within this time. */
const most = 20;
const againMs = 20_000;
const remembered = 2000;

/** Asks to look again where agents disagree, first where nobody was asked to look yet. */
export class FollowUps {
  readonly #asked = new Map<string, number>();
  #wanted = new Map<string, FollowUp>();

  want({ endpoint: { name }, inside }: Difference, now: number): void {
    const key = `${endpointText(name)} ${name.address} ${name.keyType}`;
    const last = this.#asked.get(key);
    if (name.serverName === '' || (last !== undefined && last > now - againMs)) return;
    const countries = [...new Set(inside.map(({ place }) => place.country))];
    this.#wanted.set(key, { endpoint: name, countries, control: { ...name, serverName: '' } });
  }

  take(now: number): FollowUp[] {
    const ranked = [...this.#wanted].toSorted(
      ([a], [b]) => (this.#asked.get(a) ?? 0) - (this.#asked.get(b) ?? 0),
    );
    this.#wanted = new Map();
    return ranked.slice(0, most).map(([key, followUp]) => {
      this.#asked.delete(key);
      this.#asked.set(key, now);
      if (this.#asked.size > remembered) this.#asked.delete(this.#asked.keys().next().value!);
      return followUp;
    });
  }
}
