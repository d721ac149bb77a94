import type { Place, Sighting } from './sighting.ts';

interface Clock {
  readonly place: Place;
  /** Moving average of how far ahead the clock is, milliseconds. */
  ahead: number;
  heard: number;
  since: number;
}

const enough = 20;
const maxAgents = 2000;

/** How far the clocks of the agents are off, by when their observations arrive. */
export class Clocks {
  readonly #clocks = new Map<string, Clock>();

  add({ agent, country, rir, asn, at, observedAt }: Sighting, clockMs: number): void {
    const ahead = observedAt - at;
    let clock = this.#clocks.get(agent);
    if (!clock) {
      if (this.#clocks.size >= maxAgents) return;
      clock = { place: { agent, country, rir, asn }, ahead, heard: 0, since: at };
      this.#clocks.set(agent, clock);
    }
    clock.heard++;
    // An outbox that empties after an outage looks late; it takes more than a few to move the average.
    clock.ahead += 0.05 * (Math.max(-10 * clockMs, Math.min(10 * clockMs, ahead)) - clock.ahead);
    if (Math.abs(clock.ahead) <= clockMs) clock.since = at;
  }

  skewed(clockMs: number): { readonly place: Place; readonly since: number; readonly ahead: number }[] {
    return [...this.#clocks.values()].filter(
      ({ heard, ahead }) => heard >= enough && Math.abs(ahead) > clockMs,
    );
  }
}
