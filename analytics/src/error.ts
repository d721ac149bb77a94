export type AnalyticsErrorCode =
  /** The store cannot be reached or opened; it may come back by itself. */
  | 'store-absent'
  /** Another process writes into it, or the directory cannot be opened: there is one that writes at a time. */
  | 'store-held'
  /** The tables were made by a later version of this program. */
  | 'newer-schema'
  /** A query of a user does what no query may. */
  | 'query-refused'
  /** A query of a user that the engine does not understand or cannot run. */
  | 'query-failed'
  /** A query of a user took too long, too much memory, or found too much. */
  | 'query-limit'
  /** Too many queries of users are waiting. */
  | 'busy';

export class AnalyticsError extends Error {
  override readonly name = 'AnalyticsError';
  readonly code: AnalyticsErrorCode;

  constructor(code: AnalyticsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
