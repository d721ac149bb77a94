import { type Database, type Migration, migrate } from '@mecai/database';
import type { TestDatabases } from '@mecai/database/testing';
import { beforeAll, beforeEach } from 'vitest';

/** Within a `describe`: one database with these tables, which are empty before each test. */
export function emptyTables(
  databases: TestDatabases,
  component: string,
  migrations: readonly Migration[],
  tables: readonly string[],
): { readonly database: Database } {
  let database: Database;
  beforeAll(async () => {
    database = await databases.open();
    await migrate(database, component, migrations, 0);
  });
  beforeEach(async () => {
    for (const table of tables) await database.query(`delete from ${table}`);
  });
  return {
    get database() {
      return database;
    },
  };
}
