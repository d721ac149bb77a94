import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from './process.ts';

/**
 * Tries until it works or the signal aborts: for what may be absent at start and comes up by itself.
 * Waits double from 100 ms to `maxDelayMs`.
 */
export async function untilItWorks<T>(
  what: string,
  attempt: () => Promise<T>,
  { log, signal, maxDelayMs = 2000 }: { log: Logger; signal?: AbortSignal; maxDelayMs?: number },
): Promise<T> {
  for (let wait = 100; ; wait = Math.min(wait * 2, maxDelayMs)) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      log.warn({ reason: (error as Error).message, retryInMs: wait }, `${what}: not yet`);
      await delay(wait, undefined, signal && { signal });
    }
  }
}
