/** What the project's SQL is written against. One text runs on both engines: `$1` parameters, integers for times. */

/** Bytes come back as Uint8Array, integers as number (all ours stay below 2^53), JSON lists as text. */
export type Value = string | number | Uint8Array | null;
export type Row = Readonly<Record<string, Value>>;

export interface Statements {
  /**
   * @param sql one statement, parameters as `$1`, `$2` …
   * @returns the rows of a SELECT or of RETURNING, else none
   * @throws DatabaseError
   */
  query<R extends Row = Row>(sql: string, parameters?: readonly Value[]): Promise<R[]>;
}

export interface Database extends Statements {
  readonly engine: 'sqlite' | 'postgres';
  /** All of it or nothing; what loses a race with another transaction is run again from the start. */
  transaction<T>(work: (statements: Statements) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
