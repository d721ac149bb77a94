import type { Endpoint } from './endpoint.ts';
import type { EvidenceOf, Incident } from './incident.ts';
import { endpointKey } from './sighting.ts';

export interface Watch {
  readonly incident: Incident;
  readonly role: EvidenceOf['role'];
}

/** What belongs to an open incident, by endpoint and key; where an agent is named, only what that one sees. */
export class Watched {
  readonly #watches = new Map<string, Watch>();

  get(endpoint: Endpoint, spki: string, agent = ''): Watch | undefined {
    return this.#watches.get(keyOf(endpoint, spki, agent));
  }

  add(endpoint: Endpoint, spki: string, watch: Watch, agent = ''): void {
    this.#watches.set(keyOf(endpoint, spki, agent), watch);
  }

  /** @returns whether nothing is left that differs */
  remove(endpoint: Endpoint, spki: string, incident: Incident): boolean {
    this.#watches.delete(keyOf(endpoint, spki, ''));
    return ![...this.#watches.values()].some((one) => one.incident === incident && one.role === 'differs');
  }

  removeAll(incident: Incident): void {
    for (const [key, watch] of this.#watches) if (watch.incident === incident) this.#watches.delete(key);
  }
}

const keyOf = (endpoint: Endpoint, spki: string, agent: string) =>
  `${agent} ${endpointKey(endpoint.name)}\0${spki}`;
