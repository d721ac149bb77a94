import { hash } from 'node:crypto';
import { SignedObservation, encoded, inboxPrefix, subjects } from '@mecai/proto';
import {
  type KeepStored,
  type Logger,
  RecentlyStored,
  type Stored,
  readStored,
  reasonOf,
} from '@mecai/runtime';
import { type Msg, type NatsConnection, createInbox, headers } from '@nats-io/transport-node';
import type { Answer } from './observe.ts';

const ackWithinMs = 5_000;
/** A refusal comes at once: do not ask again in a tight circle. */
const pauseMs = 500;

/** Of those stored that are offered once more. */
const atATime = 64;

interface Message {
  readonly id: string;
  readonly subject: string;
  readonly bytes: Uint8Array;
}

interface Entry {
  readonly message: Message;
  /** It was stored once already. */
  readonly repeated: boolean;
  /** What its acknowledgements are told by; distinct since the start. */
  readonly number: number;
  /** How often it was published; only the last time decides what comes next. */
  offers: number;
  /** Until the acknowledgement is late, or the pause after a refusal is over. */
  timer?: NodeJS.Timeout;
}

/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice. That ID is a hash of the
 * bytes: another agent cannot know it beforehand and take it. Those stored of late are offered once more when the stream
 * has another leader.
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
  readonly #stored: RecentlyStored<Message>;
  /** Number that JetStream gave to the newest one. */
  #newest = 0;
  /** Of those stored: what is still to be offered once more, and how many of them are unconfirmed. */
  #again: Iterable<Message> = [];
  #repeats = 0;
  /** Not offered yet. */
  #fresh: Entry[] = [];
  #dropped = 0;
  #troubled = false;
  #emptied: (() => void) | undefined;

  constructor(
    nats: Pick<NatsConnection, 'publish' | 'subscribe'>,
    agent: string,
    log: Logger,
    { capacity, keepStored }: { readonly capacity: number; readonly keepStored: KeepStored },
  ) {
    this.#nats = nats;
    this.#stored = new RecentlyStored(keepStored, () => performance.now());
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

  /** What is offered once more was confirmed. */
  get unconfirmed(): number {
    return this.#unconfirmed.size - this.#repeats;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** What is sent twice is offered twice, and stored once. */
  send({ coordinator, campaign, signed }: Omit<Answer, 'observation'>): void {
    const id = hash('sha256', signed.observation, 'base64url');
    const known = this.#unconfirmed.get(id);
    if (known) {
      this.#offer(known);
      return;
    }
    const subject = campaign
      ? subjects.campaignObservation(this.#agent, coordinator)
      : subjects.observation(this.#agent, coordinator);
    this.#take({ id, subject, bytes: encoded(SignedObservation, signed) }, false);
  }

  #take(message: Message, repeated: boolean): void {
    const entry: Entry = { message, repeated, number: ++this.#lastNumber, offers: 0 };
    this.#unconfirmed.set(message.id, entry);
    this.#byNumber.set(entry.number, entry);
    if (repeated) this.#repeats++;
    else if (this.unconfirmed > this.#capacity) this.#dropOldest();
    // What is ready in one turn of the event loop leaves in one write.
    if (this.#fresh.push(entry) === 1) setImmediate(() => this.#offerFresh());
  }

  /** The connection is back: what was under way when it broke is lost, and need not be waited for. */
  offerAgain(): void {
    for (const entry of this.#unconfirmed.values()) this.#offer(entry);
  }

  /** The stream has another leader, which may lack some of what was stored. */
  offerStored(): void {
    this.#newest = 0;
    this.#again = this.#stored.all().values();
    this.#offerNextStored();
  }

  #offerNextStored(): void {
    if (this.#repeats >= atATime) return;
    for (const message of this.#again) {
      if (!this.#stored.has(message) || this.#unconfirmed.has(message.id)) continue;
      this.#take(message, true);
      if (this.#repeats >= atATime) return;
    }
  }

  /** Waits until all is confirmed, or the time is over. Nothing is sent afterwards. */
  async drain(ms: number): Promise<void> {
    this.#again = [];
    for (const entry of this.#unconfirmed.values()) if (entry.repeated) this.#forget(entry);
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
      if (entry.offers === 0 && this.#byNumber.has(entry.number)) this.#offer(entry);
    }
  }

  #offer(entry: Entry): void {
    clearTimeout(entry.timer);
    const offer = ++entry.offers;
    const late = () => this.#notStored(entry, new Error(`no answer within ${ackWithinMs} ms`));
    entry.timer = setTimeout(late, ackWithinMs);
    const header = headers();
    const { id, subject, bytes } = entry.message;
    header.set('Nats-Msg-Id', id);
    const reply = `${this.#inbox}.${entry.number}.${offer}`;
    try {
      this.#nats.publish(subject, bytes, { reply, headers: header });
    } catch (error) {
      this.#notStored(entry, error);
    }
  }

  /** What is stored is stored, whichever offer it was; a refusal counts if it is of the last. */
  #acknowledged(message: Msg): void {
    const [number, offer] = message.subject.slice(this.#inbox.length + 1).split('.');
    const entry = this.#byNumber.get(Number(number));
    if (!entry) return;
    const said = readStored(message);
    if (typeof said !== 'string') this.#confirmed(entry, said);
    else if (Number(offer) === entry.offers) this.#notStored(entry, new Error(said));
  }

  #confirmed(entry: Entry, { seq, duplicate }: Stored): void {
    this.#forget(entry);
    this.#stored.add(entry.message);
    if (!duplicate) {
      // Numbers go back when a replica leads that lacks what was stored.
      if (seq < this.#newest) this.offerStored();
      this.#newest = seq;
    }
    if (entry.repeated) this.#offerNextStored();
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
    const oldest = [...this.#unconfirmed.values()].find(({ repeated }) => !repeated);
    this.#forget(oldest!);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'outbox full: an observation is lost');
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#unconfirmed.delete(entry.message.id);
    this.#byNumber.delete(entry.number);
    if (entry.repeated) this.#repeats--;
  }
}
