import { hash } from 'node:crypto';
import { SignedObservation, encoded, inboxPrefix, subjects } from '@mecai/proto';
import { type Logger, reasonOf } from '@mecai/runtime';
import { type Msg, type NatsConnection, createInbox, headers } from '@nats-io/transport-node';
import type { Answer } from './observe.ts';

const ackWithinMs = 5_000;
/** A refusal comes at once: do not ask again in a tight circle. */
const pauseMs = 500;

interface Entry {
  readonly id: string;
  /** What its acknowledgements are told by; distinct since the start. */
  readonly number: number;
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** How often it was published; only the last time decides what comes next. */
  offers: number;
  /** Until the acknowledgement is late, or the pause after a refusal is over. */
  timer?: NodeJS.Timeout;
}

/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice. That ID is a hash of the
 * bytes: another agent cannot know it beforehand and take it.
 *
 * Acknowledgements come to one subscription: a request for each, as the JetStream client makes it, costs twice as much.
 */
export class Outbox {
  readonly #nats: Pick<NatsConnection, 'publish'>;
  /** Nobody else can guess it, and acknowledge what is not stored. */
  readonly #inbox: string;
  readonly #agent: string;
  readonly #capacity: number;
  readonly #log: Logger;
  // In the order of arrival: the oldest is the first to be dropped.
  readonly #unconfirmed = new Map<string, Entry>();
  readonly #byNumber = new Map<number, Entry>();
  #lastNumber = 0;
  /** Not offered yet. */
  #fresh: Entry[] = [];
  #dropped = 0;
  #troubled = false;
  #emptied: (() => void) | undefined;

  constructor(
    nats: Pick<NatsConnection, 'publish' | 'subscribe'>,
    agent: string,
    capacity: number,
    log: Logger,
  ) {
    this.#nats = nats;
    this.#inbox = createInbox(inboxPrefix(agent));
    nats.subscribe(`${this.#inbox}.*.*`, {
      callback: (error, message) => {
        // Then nothing is acknowledged, and what was sent is late.
        if (!error) this.#acknowledged(message);
      },
    });
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
      number: ++this.#lastNumber,
      subject: campaign
        ? subjects.campaignObservation(this.#agent, coordinator)
        : subjects.observation(this.#agent, coordinator),
      bytes: encoded(SignedObservation, signed),
      offers: 0,
    };
    const known = this.#unconfirmed.get(entry.id);
    if (known) {
      this.#offer(known);
      return;
    }
    this.#unconfirmed.set(entry.id, entry);
    this.#byNumber.set(entry.number, entry);
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
    for (const entry of this.#unconfirmed.values()) this.#forget(entry);
  }

  #offerFresh(): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    for (const entry of fresh) {
      if (entry.offers === 0 && this.#unconfirmed.has(entry.id)) this.#offer(entry);
    }
  }

  #offer(entry: Entry): void {
    clearTimeout(entry.timer);
    const offer = ++entry.offers;
    const late = () => this.#notStored(entry, new Error(`no answer within ${ackWithinMs} ms`));
    entry.timer = setTimeout(late, ackWithinMs);
    const header = headers();
    header.set('Nats-Msg-Id', entry.id);
    const reply = `${this.#inbox}.${entry.number}.${offer}`;
    try {
      this.#nats.publish(entry.subject, entry.bytes, { reply, headers: header });
    } catch (error) {
      this.#notStored(entry, error);
    }
  }

  /** What is stored is stored, whichever offer it was; a refusal counts if it is of the last. */
  #acknowledged(message: Msg): void {
    const [number, offer] = message.subject.slice(this.#inbox.length + 1).split('.');
    const entry = this.#byNumber.get(Number(number));
    if (!entry) return;
    const refusal = refusalIn(message);
    if (refusal === undefined) this.#stored(entry);
    else if (Number(offer) === entry.offers) this.#notStored(entry, new Error(refusal));
  }

  #stored(entry: Entry): void {
    this.#forget(entry);
    if (this.#troubled) {
      this.#troubled = false;
      this.#log.info({ unconfirmed: this.unconfirmed }, 'observations are stored again');
    }
    if (this.#unconfirmed.size === 0) this.#emptied?.();
  }

  #notStored(entry: Entry, error: unknown): void {
    // Once for an outage, not for each observation in it.
    if (!this.#troubled) {
      this.#log.warn(
        { reason: reasonOf(error), unconfirmed: this.unconfirmed },
        'observations are not stored',
      );
    }
    this.#troubled = true;
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#offer(entry), pauseMs);
  }

  #dropOldest(): void {
    const [oldest] = this.#unconfirmed.values();
    this.#forget(oldest!);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'outbox full: an observation is lost');
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#unconfirmed.delete(entry.id);
    this.#byNumber.delete(entry.number);
  }
}

/** Why JetStream has not stored it: its PubAck is JSON, with `stream` and `seq`, or with `error`. */
function refusalIn(message: Msg): string | undefined {
  // From the server itself: nobody takes this subject.
  if (message.headers?.code === 503) return 'no stream takes it';
  try {
    const { stream, error } = message.json<{ stream?: string; error?: { description?: string } }>();
    if (!error && stream) return undefined;
    return error?.description ?? 'an answer without a stream';
  } catch {
    return 'an answer that cannot be read';
  }
}
