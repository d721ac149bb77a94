import { deadLetters, ensureStreams, streams } from '@mecai/proto';
import { AckPolicy, JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';

export interface DurableConsumerOptions {
  readonly stream: string;
  readonly name: string;
  /** Twice as many messages as a batch has rows may be under way. */
  readonly batch: { readonly rows: number };
  readonly redeliverMs: number;
  /** Of the streams it makes. */
  readonly replicas: number;
}

const consumerNotFound = 10014;

/**
 * Makes stream and consumer where they are gone.
 *
 * @returns messages that wait to be handed out
 */
export async function ensureConsumer(
  manager: JetStreamManager,
  options: DurableConsumerOptions,
  underWay: number,
): Promise<number> {
  await ensureStreams(manager, {
    limits: { replicas: options.replicas },
    only: [streams.observations.name, streams.records.name, deadLetters.name],
  });
  try {
    return await makeRoom(manager, options, underWay);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== consumerNotFound) throw error;
  }
  const { stream, name, batch, redeliverMs } = options;
  // Each message by itself: acknowledging all up to one would take along those of a crashed predecessor.
  const { num_pending } = await manager.consumers.add(stream, {
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    ack_wait: redeliverMs * 1_000_000,
    max_ack_pending: 2 * batch.rows,
  });
  return num_pending;
}

/**
 * Keeps the consumer to the configuration. What is pending elsewhere does not count towards the limit: that of
 * a predecessor that crashed, and what a killed nats-server (2.9) believes pending for ever though it is gone.
 *
 * @param underWay messages that this process has and did not acknowledge
 * @returns messages that wait to be handed out
 */
export async function makeRoom(
  manager: JetStreamManager,
  { stream, name, batch, redeliverMs }: DurableConsumerOptions,
  underWay: number,
): Promise<number> {
  const { config, num_ack_pending: pending, num_pending } = await manager.consumers.info(stream, name);
  const elsewhere = Math.max(0, pending - underWay);
  const limit = config.max_ack_pending ?? 0;
  const fits = limit >= batch.rows + elsewhere && limit <= 3 * batch.rows + elsewhere;
  const ack_wait = redeliverMs * 1_000_000;
  if (!fits || config.ack_wait !== ack_wait)
    await manager.consumers.update(stream, name, { ack_wait, max_ack_pending: 2 * batch.rows + elsewhere });
  return num_pending;
}
