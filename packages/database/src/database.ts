/**
 * What the project's SQL is written against. One text runs on both engines: parameters `$1`, `$2` …; the column types
 * `bigint`, `text` and `bytea`; milliseconds since 1970 for times; JSON text for lists; `on conflict`, `returning`
 * and `limit` as both have them. Text holds no NUL.
 */

/** Bytes come back as Uint8Array, integers as number (all ours stay below 2^53). */
export type Value = string | number | Uint8Array | null;
export type Row = Readonly<Record<string, Value>>;

export interface Statements {
  /**
   * @param sql one statement, parameters as `$1`, `$2` …; texts are few, since each is prepared once and kept
   * @returns the rows of a SELECT or of RETURNING, else none
   * @throws DatabaseError
   */
  query<R extends Row = Row>(sql: string, parameters?: readonly Value[]): Promise<R[]>;
}

export interface SchemaStatements extends Statements {
  /** Several statements without parameters. */
  script(sql: string): Promise<void>;
}

export interface Database extends Statements {
  readonly engine: 'sqlite' | 'postgres';
  /**
   * All of it or nothing, as if no other transaction ran at the same time. What loses a race is run again from the
   * start, so `work` does nothing but ask this database, and awaits nothing else: on SQLite others wait for it.
   * When it resolves, the changes are on the disk.
   *
   * @param lock where given, only as if no other transaction with the same lock ran at the same time: for rows that
   *   nobody else writes, this loses no race on Postgres, and lets others go on
   * @throws DatabaseError; what `work` throws undoes everything and is thrown on
   */
  transaction<T>(work: (statements: Statements) => Promise<T>, lock?: Uint8Array): Promise<T>;
  /** Alone among all processes, for changes of the schema. */
  exclusive<T>(work: (statements: SchemaStatements) => Promise<T>): Promise<T>;
  /** Waits for what is in progress. */
  close(): Promise<void>;
}
