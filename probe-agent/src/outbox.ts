import { hash } from 'node:crypto';
import type { JetStreamClient } from '@nats-io/jetstream';
import { SignedObservation, subjects } from '@mecai/proto';
import { type Logger, reasonOf } from '@mecai/runtime';
import type { Answer } from './observe.ts';

const ackWithinMs = 5_000;
/** A refusal comes at once: do not ask again in a tight circle. */
const pauseMs = 500;

interface Entry {
  readonly id: string;
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** How often it was published; only the last time decides what comes next. */
  offers: number;
  pause?: NodeJS.Timeout;
}

/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice. That ID is a hash of the
 * bytes: another agent cannot know it beforehand and take it.
 */
export class Outbox {
  readonly #jetstream: Pick<JetStreamClient, 'publish'>;
  readonly #agent: string;
  readonly #capacity: number;
  readonly #log: Logger;
  // In the order of arrival: the oldest is the first to be dropped.
  readonly #unconfirmed = new Map<string, Entry>();
  /** Not offered yet. */
  #fresh: Entry[] = [];
  #dropped = 0;
  #troubled = false;
  #emptied: (() => void) | undefined;

  constructor(jetstream: Pick<JetStreamClient, 'publish'>, agent: string, capacity: number, log: Logger) {
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

  /** What is sent twice is offered twice, and stored once. */
  send({ coordinator, campaign, signed }: Omit<Answer, 'observation'>): void {
    const entry: Entry = {
      id: hash('sha256', signed.observation, 'base64url'),
      subject: campaign
        ? subjects.campaignObservation(this.#agent, coordinator)
        : subjects.observation(this.#agent, coordinator),
      bytes: SignedObservation.encode(signed).finish(),
      offers: 0,
    };
    const known = this.#unconfirmed.get(entry.id);
    if (known) {
      this.#offer(known);
      return;
    }
    this.#unconfirmed.set(entry.id, entry);
    if (this.#unconfirmed.size > this.#capacity) this.#dropOldest();
    // What is ready in one turn of the event loop leaves in one write.
    if (this.#fresh.push(entry) === 1) setImmediate(() => this.#offerFresh());
  }

  /** The connection is back: what was under way when it broke is lost, and need not be waited for. */
  offerAgain(): void {
    for (const entry of this.#unconfirmed.values()) this.#offer(entry);
  }

  /** Waits until all is confirmed, or the time is over. Nothing is sent afterwards. */
  async drain(ms: number): Promise<void> {
    if (this.#unconfirmed.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#emptied = resolve;
      const timer = setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
    }
    if (this.#unconfirmed.size > 0) {
      this.#log.error({ lost: this.#unconfirmed.size }, 'stopped with observations that nobody confirmed');
    }
    for (const entry of this.#unconfirmed.values()) clearTimeout(entry.pause);
    this.#unconfirmed.clear();
  }

  #offerFresh(): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    for (const entry of fresh) {
      if (entry.offers === 0 && this.#unconfirmed.has(entry.id)) this.#offer(entry);
    }
  }

  #offer(entry: Entry): void {
    clearTimeout(entry.pause);
    const offer = ++entry.offers;
    this.#jetstream.publish(entry.subject, entry.bytes, { msgID: entry.id, timeout: ackWithinMs }).then(
      () => this.#stored(entry),
      (error: unknown) => this.#notStored(entry, offer, error),
    );
  }

  #stored(entry: Entry): void {
    clearTimeout(entry.pause);
    this.#unconfirmed.delete(entry.id);
    if (this.#troubled) {
      this.#troubled = false;
      this.#log.info({ unconfirmed: this.unconfirmed }, 'observations are stored again');
    }
    if (this.#unconfirmed.size === 0) this.#emptied?.();
  }

  #notStored(entry: Entry, offer: number, error: unknown): void {
    if (offer !== entry.offers || !this.#unconfirmed.has(entry.id)) return;
    // Once for an outage, not for each observation in it.
    if (!this.#troubled) {
      this.#log.warn(
        { reason: reasonOf(error), unconfirmed: this.unconfirmed },
        'observations are not stored',
      );
    }
    this.#troubled = true;
    entry.pause = setTimeout(() => this.#offer(entry), pauseMs);
  }

  #dropOldest(): void {
    const [oldest] = this.#unconfirmed.values();
    clearTimeout(oldest!.pause);
    this.#unconfirmed.delete(oldest!.id);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'outbox full: an observation is lost');
  }
}
