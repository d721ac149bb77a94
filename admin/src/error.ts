export type AdminErrorCode =
  | 'wrong-usage'
  | 'refused'
  /** Not done at every signer. */
  | 'incomplete';

export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: AdminErrorCode;

  constructor(code: AdminErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
