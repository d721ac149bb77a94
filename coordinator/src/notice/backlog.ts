/** How far the outbox is behind, for metrics: short queries, since they run again and again. */
import type { Database } from '@mecai/database';
import { type OpenState, countDeliveries } from './outbox.ts';
import { media } from './recipient.ts';

/** Contacts are looked up first; then there are deliveries. */
export type Stage = 'lookup' | 'delivery';

export interface Waiting {
  /** When the oldest was put in, milliseconds since 1970; undefined where there is none. */
  readonly oldest: number | undefined;
  /** When the first of those that nobody is at was due. */
  readonly due: number | undefined;
}

export interface Backlog {
  readonly deliveries: Readonly<Record<OpenState, number>>;
  /** Notices. */
  readonly lookups: number;
  readonly stages: Readonly<Record<Stage, Waiting>>;
}

/**
 * @param now milliseconds since 1970
 * @throws DatabaseError
 */
export async function backlogOf(database: Database, now: number): Promise<Backlog> {
  const deliveries = await countDeliveries(database);
  const [lookups] = await database.query<{ n: number; oldest: number | null }>(
    'select count(*) as n, min(enqueued_at) as oldest from notice where next_at is not null',
  );
  const [lookupDue] = await database.query<{ at: number }>(
    `select next_at as at from notice where next_at is not null and leased_until <= $1 order by next_at limit 1`,
    [now],
  );
  const [oldest] = await database.query<{ at: number }>(
    `select enqueued_at as at from delivery where state = 'waiting' order by enqueued_at limit 1`,
  );
  const due: number[] = [];
  for (const medium of media) {
    const [first] = await database.query<{ at: number }>(
      `select next_at as at from delivery where state = 'waiting' and medium = $1 and leased_until <= $2
       order by next_at limit 1`,
      [medium, now],
    );
    if (first) due.push(first.at);
  }
  return {
    deliveries,
    lookups: lookups!.n,
    stages: {
      lookup: { oldest: lookups!.oldest ?? undefined, due: lookupDue?.at },
      delivery: { oldest: oldest?.at, due: due.length > 0 ? Math.min(...due) : undefined },
    },
  };
}
