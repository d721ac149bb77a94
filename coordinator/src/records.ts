import { hash } from 'node:crypto';
import { ClientReport, Decision, Mismatch, encoded, subjects } from '@mecai/proto';
import { type KeepStored, type Logger, RecentlyStored, reasonOf } from '@mecai/runtime';
import { CoordinatorError } from './error.ts';
import type { StreamPublisher } from './stream-publisher.ts';

const ackWithinMs = 2_000;
/** For a record that a requester waits for: at least. */
const attempts = 3;
/** While NATS is there: a cluster that lost the leader of a stream needs up to 10 s to elect another. */
const electionMs = 12_000;
/** A refusal comes at once: do not ask again in a tight circle. */
const pauseMs = 250;

/** Of those that are offered once more. */
const atATime = 64;

type Later =
  | { readonly decision: Decision }
  | { readonly mismatch: Mismatch }
  | { readonly report: ClientReport };

interface Message {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly id: string;
}

/**
 * What this coordinator leaves in JetStream. A repeated publish has the same message ID, and is stored once. Records
 * that nobody waits for are offered until they are stored; the oldest are dropped beyond `capacity`. Those stored of
 * late are offered once more when the stream has another leader.
 */
export class Records {
  readonly #publisher: Pick<StreamPublisher, 'publish'>;
  readonly #name: string;
  readonly #log: Logger;
  readonly #capacity: number;
  readonly #connected: () => boolean;
  // In the order of arrival.
  readonly #unconfirmed = new Map<Promise<void>, AbortController>();
  readonly #stored: RecentlyStored<Message>;
  /** Sequence of the newest record that was stored. */
  #newest = 0;
  #offeringAgain = new AbortController();
  #troubled = false;
  #dropped = 0;

  /** @param connected whether NATS is there */
  constructor(
    publisher: Pick<StreamPublisher, 'publish'>,
    name: string,
    log: Logger,
    connected: () => boolean,
    { keepStored, capacity = 10_000 }: { readonly keepStored: KeepStored; readonly capacity?: number },
  ) {
    this.#stored = new RecentlyStored(keepStored, () => performance.now());
    this.#connected = connected;
    this.#publisher = publisher;
    this.#name = name;
    this.#log = log;
    this.#capacity = capacity;
  }

  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Resolves when JetStream has confirmed that the record is stored.
   *
   * @throws CoordinatorError `record-not-stored`
   */
  async decision(decision: Decision): Promise<void> {
    const message = this.#message({ decision });
    const since = performance.now();
    const patient = () => this.#connected() && performance.now() - since < electionMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#publish(message);
        return;
      } catch (cause) {
        if (attempt >= attempts && !patient()) {
          throw new CoordinatorError('record-not-stored', 'the audit record could not be stored', { cause });
        }
        await pause();
      }
    }
  }

  /** Not waited for by the requester; `drain` waits. */
  later(record: Later): void {
    const given = new AbortController();
    const settled = this.#untilStored(this.#message(record), given.signal).finally(() =>
      this.#unconfirmed.delete(settled),
    );
    this.#unconfirmed.set(settled, given);
    if (this.#unconfirmed.size <= this.#capacity) return;
    const [oldest, first] = this.#unconfirmed.entries().next().value!;
    first.abort();
    this.#unconfirmed.delete(oldest);
    this.#dropped++;
    this.#log.error({ dropped: this.#dropped }, 'too many records are not stored yet: the oldest is lost');
  }

  /**
   * The stream has another leader, which may lack some of what was stored. Resolves when it has all of them, or another
   * one leads.
   */
  async offerAgain(): Promise<void> {
    this.#offeringAgain.abort();
    this.#newest = 0;
    const given = (this.#offeringAgain = new AbortController());
    const messages = this.#stored.all().values();
    const one = async () => {
      for (const message of messages) {
        if (given.signal.aborted) return;
        if (this.#stored.has(message)) await this.#untilStored(message, given.signal);
      }
    };
    await Promise.all(Array.from({ length: atATime }, one));
  }

  /** Waits until all is confirmed, or the time is over. */
  async drain(ms: number): Promise<void> {
    this.#offeringAgain.abort();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([Promise.all(this.#unconfirmed.keys()), promise]);
    clearTimeout(timer);
    if (this.#unconfirmed.size > 0) this.#log.error({ lost: this.#unconfirmed.size }, 'records not stored');
    for (const given of this.#unconfirmed.values()) given.abort();
  }

  async #publish(message: Message): Promise<void> {
    const { subject, bytes, id } = message;
    const { seq, duplicate } = await this.#publisher.publish(subject, bytes, id, ackWithinMs);
    this.#stored.add(message);
    if (duplicate) return;
    if (seq < this.#newest) void this.offerAgain();
    this.#newest = seq;
  }

  async #untilStored(message: Message, given: AbortSignal): Promise<void> {
    while (!given.aborted) {
      try {
        await this.#publish(message);
        if (this.#troubled) this.#log.info('records are stored again');
        this.#troubled = false;
        return;
      } catch (error) {
        // Once for an outage, not for each record in it.
        if (!this.#troubled) this.#log.error({ reason: reasonOf(error) }, 'records are not being stored');
        this.#troubled = true;
        await pause();
      }
    }
  }

  #message(record: Later): Message {
    if ('decision' in record) {
      const { decision } = record;
      return {
        subject: subjects.decision(this.#name),
        bytes: encoded(Decision, decision),
        id: hex(decision.nonce),
      };
    }
    if ('report' in record) {
      const bytes = encoded(ClientReport, record.report);
      // Reports that differ in nothing but the moment are told apart by it.
      return { subject: subjects.report(this.#name), bytes, id: hash('sha256', bytes, 'hex') };
    }
    const { mismatch } = record;
    return {
      subject: subjects.mismatch(this.#name),
      bytes: encoded(Mismatch, mismatch),
      id: `${hex(mismatch.nonce)} ${mismatch.agent} ${hex(mismatch.target?.address ?? new Uint8Array())}`,
    };
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, pauseMs));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
