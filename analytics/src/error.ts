export type AnalyticsErrorCode =
  /** The store cannot be reached or opened; it may come back by itself. */
  | 'store-absent'
  /** The tables were made by a later version of this program. */
  | 'newer-schema';

export class AnalyticsError extends Error {
  override readonly name = 'AnalyticsError';
  readonly code: AnalyticsErrorCode;

  constructor(code: AnalyticsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
