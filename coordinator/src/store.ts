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

/** How often a server is asked whether it is there, milliseconds. */
const lookEveryMs = 1_000;

/** May be away at the start, when it is tried again until it is there; and go and come back. */
export class Store {
  readonly #ending = new AbortController();
  readonly #opening: Promise<void>;
  #database: Database | undefined;
  #there = false;
  readonly #log: Logger;
  #looking: NodeJS.Timeout | undefined;

  /** @param opened called once it is there */
  constructor(options: StoreOptions, opened: (database: Database) => unknown = () => undefined) {
    const { log, fail } = options;
    const { signal } = this.#ending;
    this.#log = log;
    this.#opening = untilItWorks('database', () => open(options), { log, signal })
      .then(async (database) => {
        this.#database = database;
        log.info({ engine: database.engine }, 'database reached');
        await opened(database);
        this.#there = true;
        // A file does not go away.
        if (database.engine === 'postgres') this.#lookAgain(database);
        return undefined;
      })
      .catch((error: unknown) => {
        if (!signal.aborted) fail(error);
      });
  }

  /** Whether it answered last. */
  get there(): boolean {
    return this.#there;
  }

  /** @throws CoordinatorError `database-unavailable` when it did not answer last */
  expectThere(): void {
    if (this.#there || !this.#database) return;
    throw new CoordinatorError('database-unavailable', 'the certificate log is away');
  }

  /** @throws CoordinatorError `database-unavailable` */
  get database(): Database {
    if (this.#database) return this.#database;
    throw new CoordinatorError('database-unavailable', 'the database has not been reached yet');
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error('stopping'));
    await this.#opening;
    clearTimeout(this.#looking);
    await this.#database?.close();
  }

  #lookAgain(database: Database): void {
    const answered = (there: boolean) => {
      if (this.#ending.signal.aborted) return;
      if (there !== this.#there) this.#log.warn(there ? 'database reached again' : 'database lost');
      this.#there = there;
      this.#lookAgain(database);
    };
    const look = () => database.query('select 1');
    this.#looking = setTimeout(() => {
      // One that was lost on its way tells of then, not of now.
      look()
        .catch(look)
        .then(
          () => answered(true),
          () => answered(false),
        );
    }, lookEveryMs);
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
