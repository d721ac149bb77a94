/** Takes deliveries out of the outbox and sends them, one medium each. */
import { randomUUID } from 'node:crypto';
import type { Database } from '@mecai/database';
import type { Count, Logger } from '@mecai/runtime';
import type { Attempt } from '../mail/mailer.ts';
import { whileLeased } from './lease.ts';
import {
  type Claimed,
  type Delivery,
  claimDeliveries,
  postponeDelivery,
  renewDelivery,
  settleDelivery,
} from './outbox.ts';
import { type Medium, withoutAddresses } from './recipient.ts';
import { type RetryPolicy, backoffMs } from './retry.ts';

export interface CourierParts {
  readonly database: Database;
  readonly medium: Medium;
  /** In flight at the same time: what a kill may have sent without anybody knowing. */
  readonly concurrency: number;
  /** One try, which ends when the signal aborts. Rejects only for mistakes of ours and a database that is away. */
  readonly send: (delivery: Delivery, signal: AbortSignal) => Promise<Attempt>;
  /** For one try, milliseconds. */
  readonly tryMs: number;
  /** How long what was in flight when a coordinator was killed waits for another, milliseconds. */
  readonly leaseMs: number;
  readonly retry: RetryPolicy & {
    /** Since it was enqueued. */
    readonly giveUpMs: number;
  };
  /** Counts tries. */
  readonly tries: Count<'medium' | 'outcome'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * Sends what is due now. A try that has begun ends before `stopping` takes effect.
 *
 * @returns how many were tried
 * @throws DatabaseError
 */
export async function courierRound(parts: CourierParts, stopping: AbortSignal): Promise<number> {
  const { database, medium, concurrency, leaseMs, now } = parts;
  const claimed = await claimDeliveries(database, {
    medium,
    count: concurrency,
    lease: randomUUID(),
    leaseMs,
    now: now(),
  });
  await Promise.all(
    claimed.map((one) =>
      whileLeased(
        leaseMs,
        () => renewDelivery(database, one, { leaseMs, now: now() }),
        () => attempt(parts, one, stopping),
      ),
    ),
  );
  return claimed.length;
}

async function attempt(parts: CourierParts, claimed: Claimed, stopping: AbortSignal): Promise<void> {
  const { database, retry, log, now, random } = parts;
  const { delivery } = claimed;
  const { id, kind, about, tries } = delivery;
  const { outcome, detail } = await parts.send(
    delivery,
    AbortSignal.any([AbortSignal.timeout(parts.tryMs), stopping]),
  );
  const at = now();
  // Whose it is stays in the outbox.
  const told = { id, medium: parts.medium, kind, about, tries, detail: withoutAddresses(detail) };
  parts.tries({ medium: parts.medium, outcome });
  if (outcome === 'sent') {
    const ours = await settleDelivery(database, claimed, 'sent', detail, at);
    log.info({ ...told, ours }, 'delivered');
  } else if (outcome === 'refused' || at - delivery.enqueuedAt >= retry.giveUpMs) {
    await settleDelivery(database, claimed, 'dead', detail, at);
    log.warn(told, 'not delivered, and not tried again');
  } else {
    const wait = backoffMs(retry, tries, random());
    await postponeDelivery(database, claimed, at + wait, detail);
    log.info({ ...told, retryInMs: wait }, 'not delivered yet');
  }
}
