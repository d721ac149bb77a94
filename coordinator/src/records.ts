import type { JetStreamClient } from '@nats-io/jetstream';
import { Decision, Mismatch, subjects } from '@mecai/proto';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from './error.ts';

const ackWithinMs = 2_000;
const attempts = 3;

/** What this coordinator leaves in JetStream. The message ID makes a repeated publish harmless. */
export class Records {
  readonly #jetstream: JetStreamClient;
  readonly #name: string;
  readonly #log: Logger;
  readonly #unconfirmed = new Set<Promise<void>>();

  constructor(jetstream: JetStreamClient, name: string, log: Logger) {
    this.#jetstream = jetstream;
    this.#name = name;
    this.#log = log;
  }

  /**
   * Resolves when JetStream has confirmed that the record is stored.
   *
   * @throws CoordinatorError `record-not-stored`
   */
  async decision(decision: Decision): Promise<void> {
    const id = Buffer.from(decision.nonce).toString('hex');
    await this.#publish(subjects.decision(this.#name), Decision.encode(decision).finish(), id);
  }

  /** Not waited for by the requester; `drain` waits. */
  later(record: { readonly decision: Decision } | { readonly mismatch: Mismatch }): void {
    const stored =
      'decision' in record
        ? this.decision(record.decision)
        : this.#publish(
            subjects.mismatch(this.#name),
            Mismatch.encode(record.mismatch).finish(),
            mismatchId(record.mismatch),
          );
    const settled = stored
      .catch((error: unknown) => this.#log.error({ err: error }, 'record not stored'))
      .finally(() => this.#unconfirmed.delete(settled));
    this.#unconfirmed.add(settled);
  }

  async drain(): Promise<void> {
    await Promise.all(this.#unconfirmed);
  }

  async #publish(subject: string, bytes: Uint8Array, msgID: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#jetstream.publish(subject, bytes, { msgID, timeout: ackWithinMs });
        return;
      } catch (cause) {
        if (attempt < attempts) continue;
        throw new CoordinatorError('record-not-stored', `JetStream did not confirm a record on ${subject}`, {
          cause,
        });
      }
    }
  }
}

const mismatchId = ({ nonce, agent, target }: Mismatch): string =>
  `${Buffer.from(nonce).toString('hex')} ${agent} ${Buffer.from(target?.address ?? []).toString('hex')}`;
