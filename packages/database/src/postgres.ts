/** Postgres, for several coordinators at once. */
import { hash } from 'node:crypto';
import pg from 'pg';
import type { Database, Row, SchemaStatements, Statements, Value } from './database.ts';
import { DatabaseError } from './error.ts';
import { whileBusy } from './retry.ts';

export interface PostgresOptions {
  /** Without a password. `sslmode=verify-full&sslrootcert=<file>` for TLS. */
  readonly url: string;
  readonly password?: string;
  /** Connections at most. */
  readonly connections: number;
}

/** Milliseconds. */
const limits = {
  connect: 3_000,
  statement: 5_000,
  /** For a server that says nothing any more: the client's own patience. */
  answer: 6_000,
} as const;
/** The longest that a timer takes. */
const noLimit = 2 ** 31 - 1;
/** Any number that no other program on the same database takes: "mecai" in ASCII. */
const schemaLock = 0x6d65636169;

export async function openPostgres(options: PostgresOptions, random: () => number): Promise<Database> {
  const database = new PostgresDatabase(options, random);
  try {
    await database.query('select 1');
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

class PostgresDatabase implements Database {
  readonly engine = 'postgres';
  readonly #pool: pg.Pool;
  readonly #random: () => number;
  /** Names of prepared statements, the same on all connections. */
  readonly #names = new Map<string, string>();

  constructor({ url, password, connections }: PostgresOptions, random: () => number) {
    this.#random = random;
    this.#pool = new pg.Pool({
      connectionString: withPassword(url, password),
      max: connections,
      connectionTimeoutMillis: limits.connect,
      statement_timeout: limits.statement,
      query_timeout: limits.answer,
      keepAlive: true,
      idle_in_transaction_session_timeout: limits.statement,
      application_name: 'mecai',
      types,
    });
    // An idle connection broke. The next query opens another.
    this.#pool.on('error', () => undefined);
  }

  async query<R extends Row = Row>(sql: string, parameters: readonly Value[] = []): Promise<R[]> {
    return this.#query<R>(this.#pool, sql, parameters);
  }

  transaction<T>(work: (statements: Statements) => Promise<T>, lock?: Uint8Array): Promise<T> {
    // Read committed: what the last holder of the lock did is to be seen.
    const begin =
      lock === undefined
        ? 'begin isolation level serializable'
        : `begin isolation level read committed; select pg_advisory_xact_lock('${lockNumber(lock)}')`;
    // What another transaction has inserted meanwhile may show as a duplicate key before it shows as a lost race
    // (PostgreSQL documentation, section 13.5): a violation counts once it has come up in a fresh transaction.
    let violationsLeft = 2;
    const again = (error: unknown) =>
      isBusy(error) ||
      (error instanceof DatabaseError && error.code === 'constraint' && violationsLeft-- > 0);
    return whileBusy(() => this.#attempt(begin, work), again, this.#random);
  }

  exclusive<T>(work: (statements: SchemaStatements) => Promise<T>): Promise<T> {
    // Read committed: what the last holder of the lock did is to be seen.
    const begin = `begin isolation level read committed; set local statement_timeout = 0;
      select pg_advisory_xact_lock(${schemaLock})`;
    return whileBusy(() => this.#attempt(begin, work, noLimit), isBusy, this.#random);
  }

  close(): Promise<void> {
    return this.#pool.ended ? Promise.resolve() : this.#pool.end();
  }

  async #attempt<T>(
    begin: string,
    work: (statements: SchemaStatements) => Promise<T>,
    answerWithinMs: number = limits.answer,
  ): Promise<T> {
    let client: pg.PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw classified(error);
    }
    const statements: SchemaStatements = {
      query: (sql, parameters = []) => this.#query(client, sql, parameters),
      script: async (sql) => {
        // The types of pg leave it out.
        const limited: pg.QueryConfig & { readonly query_timeout: number } = {
          text: sql,
          query_timeout: answerWithinMs,
        };
        await client.query(limited).catch(rethrow);
      },
    };
    // A connection in an unknown state is thrown away.
    let broken: boolean | Error = true;
    const lost = (error: Error) => (broken = error);
    client.on('error', lost);
    try {
      await statements.script(begin);
      const value = await work(statements);
      await statements.script('commit');
      broken = false;
      return value;
    } catch (error) {
      // A server that is gone undoes it without being told.
      if (!(error instanceof DatabaseError && error.code === 'unavailable')) {
        await client.query('rollback').then(
          () => (broken = false),
          () => undefined,
        );
      }
      throw error;
    } finally {
      client.off('error', lost);
      client.release(broken);
    }
  }

  async #query<R extends Row>(
    queryable: pg.Pool | pg.PoolClient,
    text: string,
    parameters: readonly Value[],
  ): Promise<R[]> {
    let name = this.#names.get(text);
    if (name === undefined) this.#names.set(text, (name = `mecai_${this.#names.size + 1}`));
    try {
      const { rows } = await queryable.query<R>({ name, text, values: [...parameters] });
      return rows;
    } catch (error) {
      throw classified(error);
    }
  }
}

/** What the URL says takes precedence over the client's options: the password has to stand there. */
export function withPassword(url: string, password: string | undefined): string {
  if (password === undefined) return url;
  const parsed = new URL(url);
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}

const types = new pg.TypeOverrides();
// `int8`, and `numeric`, which a sum of such is.
for (const oid of [20, 1700]) types.setTypeParser(oid, Number);

/** A bigint for Postgres; two locks with the same number only wait for each other needlessly. */
const lockNumber = (lock: Uint8Array): bigint => hash('sha256', lock, 'buffer').readBigInt64BE();

/** Lost against another transaction: serialization failure, deadlock (PostgreSQL appendix A, class 40). */
const lost = ['40001', '40P01'];

function classified(cause: unknown): unknown {
  if (cause instanceof DatabaseError || !(cause instanceof Error)) return cause;
  const sqlState = 'code' in cause && cause instanceof pg.DatabaseError ? (cause.code ?? '') : undefined;
  // Classes of appendix A: 08 connection, 57P server shutting down, 53300 too many connections, 23 integrity.
  if (sqlState === undefined || /^(08|57P|53300)/.test(sqlState)) {
    return new DatabaseError('unavailable', `Postgres: ${cause.message}`, { cause });
  }
  if (lost.includes(sqlState)) return new DatabaseError('busy', cause.message, { cause });
  return new DatabaseError(sqlState.startsWith('23') ? 'constraint' : 'failed', cause.message, { cause });
}

const isBusy = (error: unknown): boolean => error instanceof DatabaseError && error.code === 'busy';

const rethrow = (error: unknown): never => {
  throw classified(error);
};
