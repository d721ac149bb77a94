/** Why a statement or transaction came to nothing. Closed: callers may switch over it. */
export type DatabaseErrorCode =
  /** The database cannot be reached. Whether a transaction that was being committed is in force is not known. */
  | 'unavailable'
  /** Others kept getting in the way until the tries were used up; nothing is in force. */
  | 'busy'
  /** Unique key, foreign key, check or not-null. */
  | 'constraint'
  /** The schema is not the one that this program knows. */
  | 'schema'
  /** Anything else: a mistake in SQL, a full disk, a broken file. */
  | 'failed';

export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly code: DatabaseErrorCode;

  constructor(code: DatabaseErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
