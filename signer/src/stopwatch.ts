import type { SignerStep } from '@mecai/proto/signer';

/** Ends one step of a request; the next one begins. */
export interface Laps {
  lap(step: string): void;
}

export class Stopwatch implements Laps {
  readonly timings: SignerStep[] = [];
  readonly #now: () => number;
  readonly #began: number;
  #last = 0;

  /** @param now milliseconds of a clock that does not jump */
  constructor(now: () => number) {
    this.#now = now;
    this.#began = now();
  }

  lap(step: string): void {
    const end = Math.round((this.#now() - this.#began) * 1000);
    this.timings.push({ step, begin: this.#last, end });
    this.#last = end;
  }
}

/** For requests that nobody traces. */
export const untimed = { timings: undefined, lap: () => undefined };
