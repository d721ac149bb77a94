import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@mecai/runtime';
import type { ConsumerMessages, JetStreamClient, JetStreamManager, JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Arrival } from './arrival.ts';
import { Batch, type Incarnation, incarnationName } from './batch.ts';
import { Batcher } from './batcher.ts';
import { bury } from './dead-letters.ts';
import { parseDelivery } from './delivery.ts';
import { type DurableConsumerOptions, ensureConsumer, makeRoom } from './durable-consumer.ts';
import type { Read } from './rows.ts';
import type { Writer } from './writer.ts';

/** Its name is also that of the subject of dead letters. */
export interface FollowerOptions extends DurableConsumerOptions {
  readonly batch: { readonly rows: number; readonly ms: number };
  readonly read: (arrival: Arrival) => Read;
  readonly writer: Writer;
  readonly log: Logger;
  /** Given up for good: what waiting does not heal. */
  readonly fail: (error: unknown) => void;
}

export interface FollowerStatus {
  readonly stored: number;
  readonly repeated: number;
  readonly deadLetters: number;
  /** Messages handed to this process and not stored yet. */
  readonly underWay: number;
  /** Messages that waited behind the one taken last. */
  readonly behind: number;
  /** When JetStream stored the newest message stored here since the start, milliseconds since 1970. */
  readonly newestAt: number | null;
  /** The same of the oldest message under way. */
  readonly oldestAt: number | null;
}

/** What goes wrong while dead letters are put aside is tried again after this long. */
const retryMs = 500;
/** How often it is looked whether another process still has the store. */
const heldMs = 100;
/** How often the limit of messages under way is looked after. */
const roomMs = 5000;
/** Messages asked for at once: with more, nats-server would have tens of megabytes waiting for this connection. */
const mostAskedFor = 20_000;

/**
 * Follows one stream: every message becomes a row or a dead letter, and is acknowledged after that. Memory is
 * bounded by the consumer's `max_ack_pending`: one batch being stored and one being gathered.
 */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #batcher: Batcher<Batch>;
  #incarnation: Incarnation = { name: '', underWay: new Map() };
  #underWay = 0;
  readonly #drained: Promise<void>;
  readonly #stopping = new AbortController();
  #messages: ConsumerMessages | undefined;
  #jetstream: JetStreamClient | undefined;
  #nats: NatsConnection | undefined;
  #stored = 0;
  #repeated = 0;
  #deadLetters = 0;
  #newestAt: number | null = null;
  #behind = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    const { batch, writer } = options;
    this.#batcher = new Batcher(
      batch,
      () => new Batch(writer.pack()),
      () => this.#behind,
    );
    this.#drained = this.#drain();
  }

  get status(): FollowerStatus {
    return {
      stored: this.#stored,
      repeated: this.#repeated,
      deadLetters: this.#deadLetters,
      underWay: this.#underWay,
      behind: this.#behind,
      newestAt: this.#newestAt,
      oldestAt: this.#incarnation.underWay.values().next().value ?? null,
    };
  }

  /** Whether messages are being pulled. */
  get following(): boolean {
    return this.#messages !== undefined;
  }

  /** Pulls until stopped or the connection closes; makes the stream and the consumer when they are gone. */
  async follow(nats: NatsConnection, jetstream: JetStreamClient, manager: JetStreamManager): Promise<void> {
    const { stream, name, batch, log } = this.#options;
    const { signal } = this.#stopping;
    this.#jetstream = jetstream;
    this.#nats = nats;
    while (!signal.aborted && !nats.isClosed()) {
      // What it took would be missing to whoever has the store.
      if (this.#options.writer.held) {
        await delay(heldMs, undefined, { signal }).catch(() => {});
        continue;
      }
      let watch: NodeJS.Timeout | undefined;
      try {
        const incarnation = await this.#ensure(manager);
        const consumer = await jetstream.consumers.get(stream, name);
        const messages = await consumer.consume({
          max_messages: Math.min(batch.rows, mostAskedFor),
          // Also how long it takes to ask again after the server was away.
          expires: 2000,
          abort_on_missing_resource: true,
          callback: (message) => this.#take(message, incarnation),
        });
        this.#messages = messages;
        watch = this.#watch(manager);
        if (signal.aborted) messages.stop();
        const ended = await messages.closed();
        if (ended) throw ended;
      } catch (error) {
        if (signal.aborted || nats.isClosed()) break;
        log.warn(
          { stream, reason: error instanceof Error ? error.message : error },
          'not following; trying again',
        );
        await delay(retryMs, undefined, { signal }).catch(() => {});
      } finally {
        clearInterval(watch);
        this.#messages = undefined;
      }
    }
  }

  /** Takes no more, and returns when everything taken is stored and acknowledged, or the writer gave up. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#messages?.stop();
    this.#batcher.close();
    await this.#drained;
  }

  #take(message: JsMsg, incarnation: Incarnation): void {
    const reply = replyOf(message);
    const { sequence, receivedAt, pending, redelivered } = parseDelivery(reply);
    this.#behind = pending;
    if (incarnation.underWay.has(sequence)) return;
    incarnation.underWay.set(sequence, receivedAt);
    this.#underWay++;
    const { subject, data } = message;
    const read = this.#options.read({ subject, data, receivedAt, waiting: pending });
    if (this.#batcher.current.incarnation !== incarnation) this.#batcher.seal();
    const batch = this.#batcher.current;
    batch.incarnation = incarnation;
    this.#sort(batch, read, message, redelivered);
    if (receivedAt > batch.newestAt && 'table' in read) batch.newestAt = receivedAt;
    batch.acknowledgements.add(reply);
    batch.sequences.push(sequence);
    this.#batcher.added();
  }

  #sort(batch: Batch, read: Read, message: JsMsg, redelivered: boolean): void {
    if ('fault' in read) batch.aside.push({ message, fault: read.fault });
    if (!('table' in read)) return;
    const sifted =
      read.table === 'observations'
        ? this.#options.writer.sift({ event: read, redelivered }, batch.packed)
        : 'doubtful';
    if (sifted === 'doubtful') batch.candidates.push({ event: read, redelivered });
    if (sifted === 'repeated') batch.repeated++;
  }

  #leave({ incarnation, sequences }: Batch): void {
    for (const sequence of sequences) if (incarnation?.underWay.delete(sequence)) this.#underWay--;
  }

  async #drain(): Promise<void> {
    for (;;) {
      const batch = await this.#batcher.take();
      if (batch.size === 0) return;
      try {
        await this.#settle(batch);
      } catch (error) {
        // Not acknowledged, so NATS hands it out again, to this process or the next.
        this.#leave(batch);
        if (this.#stopping.signal.aborted) return;
        this.#options.fail(error);
      }
    }
  }

  async #settle(batch: Batch): Promise<void> {
    const { stored, repeated } = await this.#options.writer.write(batch.candidates, batch.packed);
    await this.#bury(batch);
    batch.acknowledgements.send(this.#nats!);
    this.#leave(batch);
    this.#stored += stored;
    this.#repeated += repeated + batch.repeated;
    if (batch.newestAt > 0) this.#newestAt = Math.max(this.#newestAt ?? 0, batch.newestAt);
  }

  /** Put aside twice is put aside once, by the message id. */
  async #bury({ aside, incarnation }: Batch): Promise<void> {
    const { name, log } = this.#options;
    for (const { message, fault } of aside) {
      for (;;) {
        try {
          await bury(this.#jetstream!, name, message, fault, incarnation!.name);
          break;
        } catch (error) {
          log.warn(
            { reason: error instanceof Error ? error.message : error },
            'dead letter not taken; trying again',
          );
          await delay(retryMs, undefined, { signal: this.#stopping.signal });
        }
      }
      this.#deadLetters++;
      log.warn({ subject: message.subject, fault }, 'message put aside');
    }
  }

  async #ensure(manager: JetStreamManager): Promise<Incarnation> {
    const { stream } = this.#options;
    this.#behind = await ensureConsumer(manager, this.#options, this.#underWay);
    const name = incarnationName(await manager.streams.info(stream));
    if (this.#incarnation.name !== name) this.#incarnation = { name, underWay: new Map() };
    return this.#incarnation;
  }

  async #makeRoom(manager: JetStreamManager): Promise<void> {
    this.#behind = await makeRoom(manager, this.#options, this.#underWay);
  }

  #watch(manager: JetStreamManager): NodeJS.Timeout {
    return setInterval(() => {
      this.#makeRoom(manager).catch(() => {});
    }, roomMs);
  }
}

/** Where a message wants its acknowledgement; the library's type leaves it out. */
function replyOf(message: JsMsg): string {
  if ('reply' in message && typeof message.reply === 'string') return message.reply;
  throw new TypeError('a message of JetStream without a reply subject');
}
