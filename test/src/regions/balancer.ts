import type { Coordinator } from './regions.ts';

const lookEveryMs = 1_000;
const answerWithinMs = 2_000;

/** In front of the coordinators, as a network load balancer: who is ready gets requests in turns. */
export class Balancer {
  readonly #coordinators: readonly Coordinator[];
  readonly #ready = new Set<Coordinator>();
  readonly #looking: readonly Promise<void>[];
  #turn = 0;
  #stopping = false;

  constructor(coordinators: readonly Coordinator[]) {
    this.#coordinators = coordinators;
    for (const one of coordinators) this.#ready.add(one);
    this.#looking = coordinators.map((one) => this.#look(one));
  }

  get allReady(): boolean {
    return this.#ready.size === this.#coordinators.length;
  }

  /** URL of the VRP; of any coordinator when none is ready. */
  next(): string {
    const candidates = this.#ready.size > 0 ? [...this.#ready] : this.#coordinators;
    return candidates[this.#turn++ % candidates.length]!.vrpUrl;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#looking);
  }

  async #look(one: Coordinator): Promise<void> {
    while (!this.#stopping) {
      const ready = await fetch(`${one.adminUrl}/readyz`, {
        signal: AbortSignal.timeout(answerWithinMs),
      }).then(
        ({ ok }) => ok,
        () => false,
      );
      if (ready) this.#ready.add(one);
      else this.#ready.delete(one);
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }
}
