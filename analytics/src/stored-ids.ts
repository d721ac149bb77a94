/** Ids of what is in the store. */
import type { Candidate } from './candidate.ts';
import { RecentIds } from './recent-ids.ts';
import type { EventTable, StoredEvent } from './rows.ts';
import type { Store } from './store.ts';

const recentCapacity = 500_000;
/** Ids asked for at once; they travel in the URL to a server. */
const asked = 500;

function newestQuery(table: EventTable): string {
  return `SELECT id, toUnixTimestamp64Milli(received_at) AS receivedAt FROM ${table}
    WHERE received_at >= (SELECT max(received_at) FROM ${table}) - INTERVAL 1 HOUR
    ORDER BY received_at DESC LIMIT {limit:UInt32}`;
}

export async function loadRecent(store: Store, table: EventTable): Promise<RecentIds> {
  const rows = await store.query<{ id: string; receivedAt: number }>(newestQuery(table), {
    limit: recentCapacity,
  });
  rows.reverse();
  const oldest = rows[0]?.receivedAt;
  // Rows of the same millisecond as the oldest may have been left out.
  const since = oldest === undefined ? Number.NEGATIVE_INFINITY : oldest + 1;
  return new RecentIds(rows, since, recentCapacity);
}

function presentQuery(table: EventTable): string {
  return `SELECT id FROM ${table}
    WHERE id IN {ids:Array(String)} AND received_at >= fromUnixTimestamp64Milli({earliest:Int64})`;
}

/** Ids of the candidates that are stored already. */
export async function findPresent(
  store: Store,
  table: EventTable,
  recent: RecentIds,
  candidates: readonly Candidate[],
  again: boolean,
): Promise<Set<string>> {
  const present = new Set<string>();
  const doubtful: StoredEvent[] = [];
  for (const { event, redelivered } of candidates) {
    if (recent.has(event.row.id)) present.add(event.row.id);
    else if (again || redelivered || recent.mayHaveForgotten(event.earliest)) doubtful.push(event);
  }
  for (let i = 0; i < doubtful.length; i += asked) {
    const some = doubtful.slice(i, i + asked);
    const found = await store.query<{ id: string }>(presentQuery(table), {
      ids: some.map(({ row }) => row.id),
      earliest: Math.max(0, Math.min(...some.map(({ earliest }) => earliest))),
    });
    for (const { id } of found) present.add(id);
  }
  return present;
}
