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
      log.warn({ reason: reasonOf(error), retryInMs: wait }, `${what}: not yet`);
      await delay(wait, undefined, signal && { signal });
    }
  }
}

/** The message of an error and of what caused it. */
export function reasonOf(error: unknown): string {
  const messages: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) messages.push(at.message);
  return messages.join(': ') || String(error);
}
