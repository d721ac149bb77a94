export type SignerErrorCode =
  | 'wrong-usage'
  | 'hsm-unavailable'
  /** Wrong, or locked: another try may lock it. */
  | 'pin-refused'
  | 'no-such-key'
  | 'key-exists'
  | 'wrong-certificate'
  /** Policy, registry and trust contexts of which no voucher could be made. */
  | 'unusable-configuration'
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
