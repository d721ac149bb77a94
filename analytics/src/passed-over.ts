import { setTimeout as delay } from 'node:timers/promises';
import { streams } from '@mecai/proto';
import { type Logger, reasonOf } from '@mecai/runtime';
import type { ConsumerInfo, JetStreamClient, JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Arrival } from './arrival.ts';
import { incarnationName } from './batch.ts';
import { bury } from './dead-letters.ts';
import type { Read } from './rows.ts';
import type { Candidate } from './candidate.ts';
import type { Writer } from './writer.ts';

export interface PassedOverOptions {
  readonly stream: string;
  /** Of the durable consumer. */
  readonly name: string;
  /** Longest time in milliseconds that a message may be with a sink before it is handed out again. */
  readonly redeliverMs: number;
  /** How far back records are read at the start, milliseconds. */
  readonly readAgainMs: number;
  readonly read: (arrival: Arrival) => Read;
  readonly writer: Pick<Writer, 'held' | 'unstored' | 'write'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const lookMs = 2000;

/** Requests under way, and messages written at once. */
const atATime = 64;

/** What is known of a stream that keeps what was read, from the last look. */
interface Look {
  /** Servers: the one that leads the stream, in a cluster, and the one that is asked, as started once. */
  readonly servers: string;
  /** Highest number that the consumer had handed out. */
  readonly delivered: number;
  /** Number of the newest message. */
  readonly last: number;
  /** When the newest message was stored. */
  readonly newestAt: number;
}

/**
 * What a consumer passes over. A node of nats-server 2.9 that led a stream, was cut off and leads again may lack
 * messages: their numbers are given once more, and a consumer goes on behind the highest number that it has handed
 * out. What lies before it is read by number here, and written if it is not stored yet.
 *
 * Told without knowing who leads: in a work queue nothing may be left before what was acknowledged; in another stream
 * nothing may be newer than the last look and have a number that was handed out before.
 */
export class PassedOver {
  readonly #options: PassedOverOptions;
  #stored = 0;
  #before: Look | undefined;
  /** By time, milliseconds since 1970, what number the consumer had come to: the last one that is long ago, and those since. */
  readonly #handedOut: { readonly at: number; readonly delivered: number }[] = [];
  #troubled = false;

  constructor(options: PassedOverOptions) {
    this.#options = options;
  }

  /** Rows since the start. */
  get stored(): number {
    return this.#stored;
  }

  /** Looks every two seconds until stopped or the connection closes. */
  async follow(
    nats: NatsConnection,
    jetstream: JetStreamClient,
    manager: JetStreamManager,
    signal: AbortSignal,
  ): Promise<void> {
    const { stream, writer, log } = this.#options;
    for (;;) {
      await delay(lookMs, undefined, { signal }).catch(() => {});
      if (signal.aborted || nats.isClosed()) return;
      const before = this.#stored;
      try {
        if (!writer.held) await this.#look(nats, jetstream, manager);
        this.#troubled = false;
      } catch (error) {
        // What this look did not find the next one does.
        if (!this.#troubled)
          log.warn({ stream, reason: reasonOf(error) }, 'cannot look for what is passed over');
        this.#troubled = true;
      }
      const stored = this.#stored - before;
      if (stored > 0) log.warn({ stream, stored }, 'stored what its consumer had passed over');
    }
  }

  async #look(nats: NatsConnection, jetstream: JetStreamClient, manager: JetStreamManager): Promise<void> {
    const { stream, name } = this.#options;
    // The consumer first: what is stored and acknowledged in between must not look passed over.
    const consumer = await manager.consumers.info(stream, name);
    if (stream === streams.observations.name) await this.#empty(nats, jetstream, manager, consumer);
    else await this.#readNewer(nats, manager, consumer);
  }

  /** What a work queue has before the acknowledged, or before what was handed out long ago; then it is removed. */
  async #empty(
    nats: NatsConnection,
    jetstream: JetStreamClient,
    manager: JetStreamManager,
    consumer: ConsumerInfo,
  ): Promise<void> {
    const { stream, name, writer } = this.#options;
    const info = await manager.streams.info(stream);
    const { state } = info;
    const { ack_floor: floor, delivered } = consumer;
    const settled = Math.max(floor.stream_seq, this.#longAgo(delivered.stream_seq));
    const last = Math.min(settled, delivered.stream_seq, state.last_seq);
    for (let seq = state.first_seq; seq <= last; ) {
      const found: StoredMsg[] = [];
      while (found.length < atATime) {
        // Which the types of the library do not know.
        const next = { seq, next_by_subj: '>' };
        const message = await manager.streams.getMessage(stream, next);
        seq = (message?.seq ?? last) + 1;
        if (!message || message.seq > last) break;
        found.push(message);
      }
      if (found.length === 0) return;
      const all = await this.#write(found);
      const packed = writer.unstored();
      for (const [message, read] of all) {
        // Another copy is under way; if it comes to nothing, this one is needed.
        if ('table' in read && packed.has(read.row.id)) continue;
        if ('fault' in read) {
          const { subject, data } = message;
          const letter = { subject, data, info: { stream, streamSequence: message.seq } };
          await bury(jetstream, name, letter, read.fault, incarnationName(info));
        }
        // As if it had been handed out. A deletion would be one in the log of the stream, and in 2.9 breaks replicas without it.
        nats.publish(`$JS.ACK.${stream}.${name}.1.${message.seq}.1.0.0`, '+ACK');
      }
    }
  }

  /** The number that had been handed out so long ago that what has it should be stored; those since may be on their way. */
  #longAgo(delivered: number): number {
    const { redeliverMs, now } = this.#options;
    const at = now();
    this.#handedOut.push({ at, delivered });
    while (at - (this.#handedOut[1]?.at ?? at) >= 2 * redeliverMs) this.#handedOut.shift();
    const [oldest] = this.#handedOut;
    return oldest && at - oldest.at >= 2 * redeliverMs ? oldest.delivered : 0;
  }

  /** What is newer than the last look and has a number that was handed out. */
  async #readNewer(
    nats: NatsConnection,
    manager: JetStreamManager,
    { delivered: { stream_seq: delivered } }: ConsumerInfo,
  ): Promise<void> {
    const { stream, readAgainMs, now } = this.#options;
    const { cluster, state } = await manager.streams.info(stream);
    const look = {
      servers: `${cluster?.leader} ${nats.info?.server_id}`,
      delivered,
      last: state.last_seq,
      newestAt: Date.parse(state.last_ts),
    };
    const before = this.#before ?? { ...look, servers: '', newestAt: now() - readAgainMs };
    const sameServers = look.servers === before.servers;
    if (sameServers && look.last === before.last && look.newestAt === before.newestAt) return;
    // As long as nothing happens, what was handed out since then came in order.
    const inOrder = sameServers && delivered <= look.last;
    let seq = Math.min(look.last, inOrder ? before.delivered : delivered);
    const since = before.newestAt + (inOrder ? 1 : 0);
    const isNew = ({ time }: StoredMsg) => time.getTime() >= since;
    // Mostly there is none, and one is enough to see it.
    for (let some = 1; seq >= state.first_seq; some = Math.min(atATime, 2 * some)) {
      const numbers = Array.from({ length: Math.min(some, seq - state.first_seq + 1) }, () => seq--);
      const found = await Promise.all(numbers.map((one) => manager.streams.getMessage(stream, { seq: one })));
      const messages = found.filter((one) => one !== null);
      await this.#write(messages.filter(isNew));
      if (!messages.every(isNew)) break;
    }
    this.#before = look;
  }

  async #write(messages: readonly StoredMsg[]): Promise<(readonly [StoredMsg, Read])[]> {
    const { read, writer } = this.#options;
    const all = messages.map((message) => {
      const { subject, data } = message;
      return [message, read({ subject, data, receivedAt: message.time.getTime(), waiting: 0 })] as const;
    });
    const candidates = all.flatMap(([, event]): Candidate[] =>
      'table' in event ? [{ event, redelivered: true }] : [],
    );
    if (candidates.length > 0) this.#stored += (await writer.write(candidates)).stored;
    return all;
  }
}
