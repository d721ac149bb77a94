import type { Endpoint } from './endpoint.ts';
import type { EvidenceOf, Incident } from './incident.ts';
import { endpointKey } from './sighting.ts';

export interface Watch {
  readonly incident: Incident;
  readonly role: EvidenceOf['role'];
}

/** What belongs to an open incident, by endpoint and key; where an agent is named, only what that one sees. */
export class Watched {
  /** By key first: most belong to no incident, and to find that out no text is put together. */
  readonly #watches = new Map<string, Map<string, Watch>>();

  get(endpoint: Endpoint, spki: string, agent = ''): Watch | undefined {
    return this.#watches.get(spki)?.get(whereOf(endpoint, agent));
  }

  add(endpoint: Endpoint, spki: string, watch: Watch, agent = ''): void {
    let ofKey = this.#watches.get(spki);
    if (!ofKey) this.#watches.set(spki, (ofKey = new Map()));
    ofKey.set(whereOf(endpoint, agent), watch);
  }

  /** @returns whether nothing is left that differs */
  remove(endpoint: Endpoint, spki: string, incident: Incident): boolean {
    this.#delete(spki, whereOf(endpoint, ''));
    return !this.#all().some(([, , one]) => one.incident === incident && one.role === 'differs');
  }

  removeAll(incident: Incident): void {
    for (const [spki, where, one] of this.#all()) if (one.incident === incident) this.#delete(spki, where);
  }

  #all(): (readonly [spki: string, where: string, watch: Watch])[] {
    return [...this.#watches].flatMap(([spki, ofKey]) =>
      [...ofKey].map(([where, watch]) => [spki, where, watch] as const),
    );
  }

  #delete(spki: string, where: string): void {
    const ofKey = this.#watches.get(spki);
    ofKey?.delete(where);
    if (ofKey?.size === 0) this.#watches.delete(spki);
  }
}

const whereOf = (endpoint: Endpoint, agent: string) => `${agent} ${endpointKey(endpoint.name)}`;
