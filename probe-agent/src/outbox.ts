import { createHash } from 'node:crypto';
import type { JetStreamClient } from '@nats-io/jetstream';
import { SignedObservation, subjects } from '@mecai/proto';
import type { Logger } from '@mecai/runtime';
import type { Answer } from './observe.ts';

const ackWithinMs = 5_000;

/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice.
 */
export class Outbox {
  readonly #jetstream: JetStreamClient;
  readonly #agent: string;
  readonly #capacity: number;
  readonly #log: Logger;
  // In the order of arrival: the oldest is the first to be dropped.
  readonly #unconfirmed = new Map<string, AbortController>();
  readonly #settled = new Set<Promise<void>>();
  #dropped = 0;

  constructor(jetstream: JetStreamClient, agent: string, capacity: number, log: Logger) {
    this.#jetstream = jetstream;
    this.#agent = agent;
    this.#capacity = capacity;
    this.#log = log;
  }

  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  get dropped(): number {
    return this.#dropped;
  }

  send({ coordinator, signed }: Answer): void {
    const id = createHash('sha256').update(signed.observation).digest('base64url');
    if (this.#unconfirmed.has(id)) return;
    const given = new AbortController();
    this.#unconfirmed.set(id, given);
    if (this.#unconfirmed.size > this.#capacity) this.#dropOldest();
    const bytes = SignedObservation.encode(signed).finish();
    const settled = this.#publish(
      subjects.observation(this.#agent, coordinator),
      bytes,
      id,
      given.signal,
    ).finally(() => {
      this.#unconfirmed.delete(id);
      this.#settled.delete(settled);
    });
    this.#settled.add(settled);
  }

  /** Waits until all is confirmed, or the time is over. */
  async drain(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([Promise.all(this.#settled), promise]);
    clearTimeout(timer);
    for (const given of this.#unconfirmed.values()) given.abort();
  }

  async #publish(subject: string, bytes: Uint8Array, msgID: string, given: AbortSignal): Promise<void> {
    while (!given.aborted) {
      try {
        await this.#jetstream.publish(subject, bytes, { msgID, timeout: ackWithinMs });
        return;
      } catch (error) {
        this.#log.warn(
          { reason: (error as Error).message, unconfirmed: this.unconfirmed },
          'not confirmed yet',
        );
        // A refusal comes at once: do not ask again in a tight circle.
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }

  #dropOldest(): void {
    const [id, given] = this.#unconfirmed.entries().next().value!;
    given.abort();
    this.#unconfirmed.delete(id);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'outbox full: an observation is lost');
  }
}
