/**
 * Whether this machine's clock is right, by those of the perspectives. The signer opens no connection, so nobody else
 * could tell it: but each observation says when it was made, is signed, and was made between the draw and now.
 *
 * A clock that is wrong would let expired chains, CRLs and distrust dates pass, and date vouchers wrongly. A minority of
 * dishonest agents cannot move the median; a coordinator that holds evidence back only makes the span wider in which
 * it may have been made, at most by a draw's time to live. Against a majority of perspectives on a wrong clock there
 * is nothing here.
 */
export interface ClockParts {
  /** Milliseconds since 1970, by the clock that is checked. */
  readonly now: () => number;
  /** Milliseconds since some moment, by a clock that nobody sets. */
  readonly uptime: () => number;
  /** How far the clock may be off. */
  readonly maxOffsetMs: number;
}

export class ClockCheck {
  /** May be changed at any time. */
  maxOffsetMs: number;
  readonly #parts: Omit<ClockParts, 'maxOffsetMs'>;
  /** What `now` less `uptime` is when the clock is right. */
  #right: number | undefined;

  constructor({ maxOffsetMs, ...parts }: ClockParts) {
    this.maxOffsetMs = maxOffsetMs;
    this.#parts = parts;
  }

  /** Something was on record at that time: it cannot be earlier now. */
  notBefore(time: number): void {
    const { now, uptime } = this.#parts;
    if (now() < time) this.#right = time - uptime();
  }

  /**
   * Takes in when a question was answered, each time by another agent.
   *
   * @param times milliseconds since 1970, signed by agents whose say is enough to judge by
   * @param askedAt by `uptime`
   */
  hear(times: readonly number[], askedAt: number): void {
    const { now, uptime } = this.#parts;
    const [time, up] = [now(), uptime()];
    this.#right = time - clockOffset(times, time - (up - askedAt), time) - up;
  }

  /** Milliseconds that the clock is ahead, as of what was heard last; a step of the clock shows at once. */
  get offsetMs(): number {
    const { now, uptime } = this.#parts;
    return this.#right === undefined ? 0 : now() - uptime() - this.#right;
  }

  /** Why nothing may be signed. */
  get refusal(): string | undefined {
    const offset = this.offsetMs;
    if (Math.abs(offset) <= this.maxOffsetMs) return undefined;
    const seconds = Math.abs(Math.round(offset / 1_000));
    return `the clock is ${seconds} s ${offset > 0 ? 'ahead of' : 'behind'} the perspectives`;
  }
}

/**
 * The least that a clock must be off for the median of the times to lie in a span by that clock. Of an even number of
 * times the two in the middle have to agree.
 *
 * @param times at least one
 * @returns positive: the clock is ahead
 */
export function clockOffset(times: readonly number[], from: number, to: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!];
  if (upper < from) return from - upper;
  if (lower > to) return to - lower;
  return 0;
}
