import type { JetStreamClient } from '@nats-io/jetstream';
import type { Logger } from '@mecai/runtime';
import type { Answer } from './observe.ts';
/**
 * Publishes observations until JetStream confirms that it has stored them. The coordinator hears the same message
 * at once; a repeat is the same bytes under the same message ID, and counts nowhere twice.
 */
export declare class Outbox {
  #private;
  constructor(jetstream: JetStreamClient, agent: string, capacity: number, log: Logger);
  get unconfirmed(): number;
  get dropped(): number;
  send({ coordinator, signed }: Answer): void;
  /** Waits until all is confirmed, or the time is over. */
  drain(ms: number): Promise<void>;
}
