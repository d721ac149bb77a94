/** What speaks against the declared places of agents: GeoIP, in their own words, and the speed of light. */
import { PlaceDoubts, type Registry } from '@mecai/corroboration';
import type { AgentStatus } from '@mecai/proto';

/** Of each kind; agents are not to fill the memory. */
const most = { contradictions: 10, characters: 200 };

export class Places {
  readonly #registry: () => Registry;
  readonly #doubts: PlaceDoubts;
  readonly #said = new Map<string, readonly string[]>();

  /** @param now milliseconds */
  constructor(registry: () => Registry, now: () => number) {
    this.#registry = registry;
    this.#doubts = new PlaceDoubts(registry, now);
  }

  hear(agent: string, { contradictions, roundTrip }: AgentStatus): void {
    if (!this.#registry().agents.has(agent)) return;
    this.#said.set(
      agent,
      contradictions.slice(0, most.contradictions).map((one) => one.slice(0, most.characters)),
    );
    if (roundTrip) this.#doubts.hear(agent, roundTrip);
  }

  /** In words, for operators. */
  contradictions(agent: string): string[] {
    return [...(this.#said.get(agent) ?? []), ...this.#doubts.of(agent)];
  }

  /** How many agents are nearer than light allows. */
  tooNear(agent: string): number {
    return this.#doubts.of(agent).length;
  }
}
