export interface RetryPolicy {
  /** Before the second try, milliseconds; doubled for each further one. */
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * When to try again: exponential, and anywhere in the upper half, so that what failed together does not come back
 * together.
 *
 * @param tries so far, at least 1
 * @param random from 0 to 1
 * @returns milliseconds
 */
export function backoffMs({ firstMs, maxMs }: RetryPolicy, tries: number, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(tries - 1, 30));
  return Math.round(full * (0.5 + random / 2));
}
