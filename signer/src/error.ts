export type SignerErrorCode =
  | 'hsm-unavailable'
  | 'no-such-key'
  | 'key-exists'
  | 'wrong-certificate'
  | 'audit-log-broken'
  | 'audit-log-unwritable';

export class SignerError extends Error {
  override readonly name = 'SignerError';
  readonly code: SignerErrorCode;

  constructor(code: SignerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
