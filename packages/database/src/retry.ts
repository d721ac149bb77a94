import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError } from './error.ts';

/** Milliseconds. */
const patienceMs = 5_000;
const longestPauseMs = 100;

/**
 * Tries again while others are in the way, after pauses that double from 1 ms, each shortened at random so that those
 * who collided do not collide again.
 *
 * @throws DatabaseError `busy` when that has gone on for `patience` milliseconds
 */
export async function whileBusy<T>(
  attempt: () => T | Promise<T>,
  isBusy: (error: unknown) => boolean,
  random: () => number,
  patience = patienceMs,
): Promise<T> {
  const since = performance.now();
  for (let pause = 1; ; pause = Math.min(pause * 2, longestPauseMs)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (performance.now() - since > patience) {
        throw new DatabaseError('busy', 'others kept getting in the way', { cause: error });
      }
    }
    await delay(pause * (0.5 + random() / 2));
  }
}
