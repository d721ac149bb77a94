/** Successes remembered, for failures that are counted late. */
const maxSpare = 128;

/**
 * Change point of a rate: the Bernoulli CUSUM (Page, Biometrika 41, 1954; for Bernoulli trials Reynolds and
 * Stoumbos, Journal of Quality Technology 31, 1999). Each trial adds the logarithm of how much likelier it is at
 * the rate `out` than at the usual one; the sum never falls below zero, and crossing `alarm` is the alarm. The
 * usual rate follows slowly, and not while the sum is up.
 */
export class Cusum {
  #usual: number;
  #sum = 0;
  /** When the sum last left zero. */
  #since = 0;
  #lastAt = 0;
  /** What successes would have taken from a sum that was zero already, and when. */
  #spare: { readonly at: number; by: number }[] = [];

  constructor(usual = 0.02) {
    this.#usual = usual;
  }

  /** When the change began, by the trial that the sum has been above zero since. */
  get since(): number {
    return this.#since;
  }

  get sum(): number {
    return this.#sum;
  }

  /** When the last trial was. */
  get lastAt(): number {
    return this.#lastAt;
  }

  /** @param common rate at which trials fail everywhere at this moment: what is high everywhere is no change here */
  add(failed: boolean, at: number, common: number, { out, alarm }: { out: number; alarm: number }): void {
    const usual = Math.min(Math.max(this.#usual, 1.5 * common, 0.02), 0.7 * out);
    if (this.#sum === 0) this.#since = at;
    let step = failed ? Math.log(out / usual) : Math.log((1 - out) / (1 - usual));
    if (failed && at < this.#lastAt) step = this.#afterwards(step, at);
    if (!failed && this.#sum + step < 0) {
      this.#spare.push({ at, by: -(this.#sum + step) });
      if (this.#spare.length > 2 * maxSpare) this.#spare = this.#spare.slice(-maxSpare);
    }
    // Bounded, so that the end is noticed as soon as the beginning.
    this.#sum = Math.min(Math.max(0, this.#sum + step), 1.5 * alarm);
    if (this.#sum < alarm / 2) this.#usual += 0.002 * ((failed ? 1 : 0) - this.#usual);
    this.#lastAt = Math.max(this.#lastAt, at);
  }

  /** A failure that is counted late was followed by successes, which were worth nothing when they came. */
  #afterwards(step: number, at: number): number {
    let left = step;
    for (let i = this.#spare.length - 1; i >= 0 && left > 0 && this.#spare[i]!.at > at; i--) {
      const taken = Math.min(left, this.#spare[i]!.by);
      this.#spare[i]!.by -= taken;
      left -= taken;
    }
    return left;
  }
}
