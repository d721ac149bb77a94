/** The coordinator's database: certificate log and outbox. */
import {
  type Database,
  type DatabaseConfig,
  DatabaseError,
  type Migration,
  migrate,
  openDatabase,
} from '@mecai/database';
import { type Logger, untilItWorks } from '@mecai/runtime';
import { CoordinatorError } from './error.ts';

export interface StoreOptions {
  readonly config: DatabaseConfig;
  /** By component, in the order in which they build upon each other. */
  readonly migrations: Readonly<Record<string, readonly Migration[]>>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly random: () => number;
  /** The tables are not what this release knows. */
  readonly fail: (error: unknown) => void;
}

/** May be away at the start: it is tried again until it is there. */
export class Store {
  readonly #ending = new AbortController();
  readonly #opening: Promise<void>;
  #database: Database | undefined;

  /** @param opened called once it is there */
  constructor(options: StoreOptions, opened: (database: Database) => void = () => undefined) {
    const { log, fail } = options;
    const { signal } = this.#ending;
    this.#opening = untilItWorks('database', () => open(options), { log, signal })
      .then((database) => {
        this.#database = database;
        log.info({ engine: database.engine }, 'database reached');
        return opened(database);
      })
      .catch((error: unknown) => {
        if (!signal.aborted) fail(error);
      });
  }

  get there(): boolean {
    return this.#database !== undefined;
  }

  /** @throws CoordinatorError `database-unavailable` */
  get database(): Database {
    if (this.#database) return this.#database;
    throw new CoordinatorError('database-unavailable', 'the database has not been reached yet');
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error('stopping'));
    await this.#opening;
    await this.#database?.close();
  }
}

async function open({ config, migrations, now, random, fail }: StoreOptions): Promise<Database> {
  const database = await openDatabase(config, random);
  try {
    for (const [component, steps] of Object.entries(migrations)) {
      await migrate(database, component, steps, now());
    }
    return database;
  } catch (error) {
    await database.close();
    if (error instanceof DatabaseError && error.code === 'schema') fail(error);
    throw error;
  }
}
