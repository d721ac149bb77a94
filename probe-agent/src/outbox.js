import { createHash } from 'node:crypto';
import { SignedObservation, subjects } from '@mecai/proto';
const ackWithinMs = 5_000;
/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice.
 */
export class Outbox {
  #jetstream;
  #agent;
  #capacity;
  #log;
  // In the order of arrival: the oldest is the first to be dropped.
  #unconfirmed = new Map();
  #settled = new Set();
  #dropped = 0;
  constructor(jetstream, agent, capacity, log) {
    this.#jetstream = jetstream;
    this.#agent = agent;
    this.#capacity = capacity;
    this.#log = log;
  }
  get unconfirmed() {
    return this.#unconfirmed.size;
  }
  get dropped() {
    return this.#dropped;
  }
  send({ coordinator, signed }) {
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
  async drain(ms) {
    const { promise, resolve } = Promise.withResolvers();
    const timer = setTimeout(resolve, ms);
    await Promise.race([Promise.all(this.#settled), promise]);
    clearTimeout(timer);
    for (const given of this.#unconfirmed.values()) given.abort();
  }
  async #publish(subject, bytes, msgID, given) {
    while (!given.aborted) {
      try {
        await this.#jetstream.publish(subject, bytes, { msgID, timeout: ackWithinMs });
        return;
      } catch (error) {
        this.#log.warn({ reason: error.message, unconfirmed: this.unconfirmed }, 'not confirmed yet');
        // A refusal comes at once: do not ask again in a tight circle.
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }
  #dropOldest() {
    const [id, given] = this.#unconfirmed.entries().next().value;
    given.abort();
    this.#unconfirmed.delete(id);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'outbox full: an observation is lost');
  }
}
//# sourceMappingURL=outbox.js.map
