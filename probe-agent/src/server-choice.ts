/** Who was tried, or has just been lost, is not tried again before. Milliseconds. */
const avoidMs = 5_000;

interface Listening {
  /** `host:port`. */
  readonly listen: string;
}

/** Which NATS server is next: the first in order that there is nothing against. */
export class ServerChoice {
  readonly #now: () => number;
  /** Until when, by `host:port`. */
  readonly #avoided = new Map<string, number>();
  #current: string | undefined;

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whose loss is noticed in `next`. */
  connected(listen: string): void {
    this.#current = listen;
    this.#avoided.delete(listen);
  }

  /** It is left on purpose, for one before it. */
  leave(): void {
    this.#current = undefined;
  }

  avoid(listen: string, ms = avoidMs): void {
    this.#avoided.set(listen, this.#now() + ms);
  }

  avoids(listen: string): boolean {
    return this.#until(listen) > this.#now();
  }

  /** @param servers in order of preference; not empty */
  next<T extends Listening>(servers: readonly T[]): T {
    if (this.#current !== undefined) this.avoid(this.#current);
    this.#current = undefined;
    const least = servers.toSorted((a, b) => this.#until(a.listen) - this.#until(b.listen))[0]!;
    const chosen = servers.find(({ listen }) => !this.avoids(listen)) ?? least;
    this.avoid(chosen.listen);
    return chosen;
  }

  #until(listen: string): number {
    return this.#avoided.get(listen) ?? 0;
  }
}
