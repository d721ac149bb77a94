/** The embedded engine: node:sqlite, one file, several processes of one machine at once. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { Database, Row, SchemaStatements, Statements, Value } from './database.ts';
import { DatabaseError } from './error.ts';
import { whileBusy } from './retry.ts';

/** Result codes of SQLite, without what the extended ones add in the higher octets. */
const results = { busy: 5, locked: 6, constraint: 19 } as const;

interface Job {
  readonly work: (statements: SchemaStatements) => Promise<unknown>;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

export function openSqlite(file: string, random: () => number): Promise<Database> {
  return new SqliteDatabase(file, random).opened();
}

/**
 * Two connections: one for transactions, one for SELECTs outside of them, which see what is committed. Transactions
 * that wait while another is being committed are committed together, so that one fsync serves them all.
 */
class SqliteDatabase implements Database {
  readonly engine = 'sqlite';
  readonly #random: () => number;
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #waiting: Job[] = [];
  #committing: Promise<void> | undefined;
  #closed = false;

  constructor(file: string, random: () => number) {
    this.#random = random;
    try {
      mkdirSync(dirname(file), { recursive: true });
      this.#writer = new Connection(file);
      this.#reader = new Connection(file);
    } catch (error) {
      throw classified(error);
    }
  }

  /** Processes that start at once stand in each other's way. */
  async opened(): Promise<this> {
    const set = (connection: Connection, settings: string) =>
      whileBusy(() => connection.sqlite.exec(settings), isBusy, this.#random);
    try {
      // On the disk when a commit returns, whatever happens to the machine.
      await set(
        this.#writer,
        'pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on',
      );
      await set(this.#reader, 'pragma query_only = on');
    } catch (error) {
      throw classified(error);
    }
    return this;
  }

  async query<R extends Row = Row>(sql: string, parameters: readonly Value[] = []): Promise<R[]> {
    if (!/^\s*select\b/i.test(sql))
      return this.transaction((statements) => statements.query<R>(sql, parameters));
    if (this.#closed) throw closed();
    return whileBusy(() => this.#reader.query<R>(sql, parameters), isBusyError, this.#random);
  }

  transaction<T>(work: (statements: Statements) => Promise<T>): Promise<T> {
    return this.exclusive(work);
  }

  exclusive<T>(work: (statements: SchemaStatements) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#committing;
    this.#reader.sqlite.close();
    this.#writer.sqlite.close();
  }

  /** Never rejects. */
  async #commitAll(): Promise<void> {
    // Those that come in the same turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const jobs = this.#waiting.splice(0);
      try {
        for (const settle of await this.#commit(jobs)) settle();
      } catch (error) {
        for (const { reject } of jobs) reject(error);
      }
    }
    this.#committing = undefined;
  }

  /** @returns how each job ended, to be told now that it is on the disk */
  async #commit(jobs: readonly Job[]): Promise<(() => void)[]> {
    const { sqlite } = this.#writer;
    try {
      await whileBusy(() => sqlite.exec('begin immediate'), isBusy, this.#random);
      const ends: (() => void)[] = [];
      for (const { work, resolve, reject } of jobs) {
        sqlite.exec('savepoint job');
        try {
          const value = await work(this.#statements());
          ends.push(() => resolve(value as never));
        } catch (error) {
          // A full disk undoes the whole transaction by itself.
          if (!sqlite.isTransaction) throw error;
          sqlite.exec('rollback to job');
          ends.push(() => reject(error));
        }
        sqlite.exec('release job');
      }
      sqlite.exec('commit');
      return ends;
    } catch (error) {
      if (sqlite.isTransaction) sqlite.exec('rollback');
      throw classified(error);
    }
  }

  #statements(): SchemaStatements {
    const writer = this.#writer;
    return {
      query: async (sql, parameters = []) => writer.query(sql, parameters),
      script: async (sql) => writer.script(sql),
    };
  }
}

class Connection {
  readonly sqlite: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(file: string) {
    // Waiting is ours: SQLite's own would stop the whole process.
    this.sqlite = new DatabaseSync(file, { timeout: 0 });
  }

  query<R extends Row>(sql: string, parameters: readonly Value[]): R[] {
    try {
      let statement = this.#prepared.get(sql);
      if (!statement) this.#prepared.set(sql, (statement = this.sqlite.prepare(sql)));
      return statement.all(bound(parameters)) as R[];
    } catch (error) {
      throw classified(error);
    }
  }

  script(sql: string): void {
    try {
      this.sqlite.exec(sql);
    } catch (error) {
      throw classified(error);
    }
  }
}

/** SQLite's `$1` is a name. Numbers would be bound as floating point. */
function bound(parameters: readonly Value[]): Record<string, SQLInputValue> {
  const values: Record<string, SQLInputValue> = {};
  parameters.forEach((value, index) => {
    values[`$${index + 1}`] = Number.isInteger(value) ? BigInt(value as number) : value;
  });
  return values;
}

const resultOf = (error: unknown): number | undefined =>
  error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined;

function isBusy(error: unknown): boolean {
  const result = resultOf(error);
  return result === results.busy || result === results.locked;
}

const isBusyError = (error: unknown): boolean => error instanceof DatabaseError && error.code === 'busy';

function classified(cause: unknown): unknown {
  if (cause instanceof DatabaseError || !(cause instanceof Error)) return cause;
  if (isBusy(cause)) return new DatabaseError('busy', cause.message, { cause });
  const code = resultOf(cause) === results.constraint ? 'constraint' : 'failed';
  return new DatabaseError(code, cause.message, { cause });
}

const closed = () => new DatabaseError('unavailable', 'the database is closed');
