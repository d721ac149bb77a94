export type CoordinatorErrorCode =
  /** What somebody asked over HTTPS makes no sense, or may not be. */
  | 'bad-request'
  | 'signer-unavailable'
  | 'nats-unavailable'
  | 'database-unavailable'
  /** JetStream did not confirm an audit record. */
  | 'record-not-stored'
  /** Not known whether the records exist. */
  | 'dns-failed'
  /** The registry could not be asked, or answers something else. */
  | 'rdap-failed';

export class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError';
  readonly code: CoordinatorErrorCode;

  constructor(code: CoordinatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
