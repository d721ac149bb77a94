import type { Logger } from '@mecai/runtime';
import { AnalyticsError } from './error.ts';
import { migrationTable, migrations } from './migrations.ts';
import type { Store } from './store.ts';

/**
 * Takes the steps of the schema that have not been taken yet.
 *
 * @throws AnalyticsError `newer-schema`
 */
export async function migrate(store: Store, log: Logger): Promise<void> {
  await store.makeTable('migrations', migrationTable);
  const [done] = await store.query<{ last: number }>('SELECT max(number) AS last FROM migrations');
  const last = done?.last ?? 0;
  const newest = migrations.at(-1)?.number ?? 0;
  if (last > newest) {
    throw new AnalyticsError('newer-schema', `the tables are at step ${last}, this program knows ${newest}`);
  }
  for (const { number, name, statements } of migrations) {
    if (number <= last) continue;
    for (const query of statements) await store.change(query);
    await store.command('INSERT INTO migrations (number, name) SELECT {number:UInt32}, {name:String}', {
      number,
      name,
    });
    log.info({ number, name }, 'schema step taken');
  }
}

/** Rows older than so many days go; 0 keeps all. `days` comes from the configuration, as an integer. */
export async function retain(store: Store, table: string, time: string, days: number): Promise<void> {
  const [found] = await store.query<{ text: string }>(
    'SELECT create_table_query AS text FROM system.tables WHERE database = currentDatabase() AND name = {table:String}',
    { table },
  );
  const now = /TTL .*toIntervalDay\((\d+)\)/.exec(found?.text ?? '')?.[1];
  if (now === (days === 0 ? undefined : String(days))) return;
  const change =
    days === 0 ? 'REMOVE TTL' : `MODIFY TTL toDateTime(${time}) + toIntervalDay(${Math.trunc(days)})`;
  await store.change(`ALTER TABLE ${table} @cluster ${change}`);
}
