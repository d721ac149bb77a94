export type CoordinatorErrorCode =
  | 'signer-unavailable'
  | 'nats-unavailable'
  /** JetStream did not confirm an audit record. */
  | 'record-not-stored'
  /** Not known whether the records exist. */
  | 'dns-failed';

export class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError';
  readonly code: CoordinatorErrorCode;

  constructor(code: CoordinatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
