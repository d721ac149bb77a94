import type { Database } from '@mecai/database';

/** Rows in one transaction. */
const batch = 500;

/**
 * Deletes what was settled long ago: sent, dropped, dead and bounced deliveries, and notices and letters of which
 * nothing is left.
 *
 * @param before milliseconds since 1970
 * @throws DatabaseError
 */
export async function forgetDeliveries(database: Database, before: number): Promise<void> {
  for (const sql of [
    `delete from delivery where id in
       (select id from delivery where state <> 'waiting' and settled_at < $1 limit ${batch}) returning id`,
    `delete from notice where id in
       (select id from notice where next_at is null and enqueued_at < $1
          and not exists (select 1 from delivery where kind = 'notice' and about = notice.id) limit ${batch})
     returning id`,
    `delete from letter where id in
       (select id from letter where enqueued_at < $1
          and not exists (select 1 from delivery where kind = 'letter' and about = letter.id) limit ${batch})
     returning id`,
  ]) {
    while ((await database.query(sql, [before])).length === batch);
  }
}
