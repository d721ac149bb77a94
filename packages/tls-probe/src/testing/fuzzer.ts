import { ProbeFailure } from '../failure.ts';
import type { FuzzTarget } from './fuzz-targets.ts';
import { type Dice, mutate } from './mutations.ts';

export interface FuzzFinding {
  readonly target: string;
  readonly input: Buffer;
  readonly error: unknown;
}

/** Milliseconds one input may take; the busiest machine needs a fraction. */
const slow = 1_000;

/**
 * Mutates what it has seen, and keeps inputs that fail in a way not met before: each complaint stands at
 * one place in the code, so a new one is new ground.
 */
export class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #corpus: Buffer[];
  readonly #outcomes = new Map<string, number>();
  executions = 0;

  constructor(target: FuzzTarget) {
    this.#target = target;
    this.#corpus = [...target.seeds];
  }

  /** Ways to end, with how often each was met. */
  get outcomes(): ReadonlyMap<string, number> {
    return this.#outcomes;
  }

  /** A pause of the machine does not come twice in a row. */
  #slowAgain(input: Buffer): boolean {
    const before = performance.now();
    try {
      this.#target.run(input);
    } catch {
      // Judged by its time alone.
    }
    return performance.now() - before > slow;
  }

  /** @returns what should not have happened, if it did */
  once(dice: Dice): FuzzFinding | undefined {
    const input = mutate(dice.pick(this.#corpus), dice);
    this.executions++;
    const before = performance.now();
    let outcome = 'passed';
    try {
      this.#target.run(input);
    } catch (error) {
      if (!(error instanceof ProbeFailure)) return { target: this.#target.name, input, error };
      outcome = `${error.code}: ${error.message.replace(/0x[0-9a-f]+|\d+|".*"/g, '#')}`;
    }
    if (performance.now() - before > slow && this.#slowAgain(input)) {
      return { target: this.#target.name, input, error: new Error('too slow') };
    }
    const met = this.#outcomes.get(outcome) ?? 0;
    this.#outcomes.set(outcome, met + 1);
    if (met < 3 && input.length < 20_000) this.#corpus.push(input);
    return undefined;
  }
}
