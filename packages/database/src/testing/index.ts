import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Database } from '../database.ts';
import { type DatabaseConfig, openDatabase } from '../open.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';

export { type PostgresServer, type PostgresServerOptions, startPostgres } from './postgres.ts';

/** For `describe.each`: what is written against a database is tested on both. */
export const engines = ['sqlite', 'postgres'] as const;

export interface TestDatabases {
  /** Configuration of an empty database. */
  config(): Promise<DatabaseConfig>;
  /** A connection to an empty database, or to the one given; closed in the end. */
  open(config?: DatabaseConfig): Promise<Database>;
  /** Present on Postgres. */
  readonly server: PostgresServer | undefined;
}

/** Within a `describe`: databases for its tests, gone when they are done. */
export function testDatabases(engine: (typeof engines)[number]): TestDatabases {
  let server: PostgresServer | undefined;
  let directory: string;
  let made = 0;
  const opened: Database[] = [];
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mecai-database-'));
    if (engine === 'postgres') server = await startPostgres();
  });
  afterAll(async () => {
    for (const database of opened) await database.close();
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const config = async (): Promise<DatabaseConfig> =>
    server ? server.fresh() : { engine: 'sqlite', file: join(directory, `${++made}.sqlite`) };
  return {
    config,
    async open(given) {
      const database = await openDatabase(given ?? (await config()), Math.random);
      opened.push(database);
      return database;
    },
    get server() {
      return server;
    },
  };
}
