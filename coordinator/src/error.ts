export type CoordinatorErrorCode =
  | 'signer-unavailable'
  | 'nats-unavailable'
  /** JetStream did not confirm an audit record. */
  | 'record-not-stored';

export class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError';
  readonly code: CoordinatorErrorCode;

  constructor(code: CoordinatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
