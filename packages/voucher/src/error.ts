/** Why this package refused something. Closed: callers may switch over it. */
export type VoucherErrorCode =
  /** The bytes (or the JSON) are not what the grammar asks for. */
  | 'malformed'
  | 'unsupported-version'
  | 'unknown-critical-extension'
  /** What was given to an encoder does not fit the grammar: the caller's mistake. */
  | 'not-encodable'
  /** The message-digest attribute is not the digest of the content. */
  | 'bad-digest'
  | 'bad-signature'
  /** No path from the VA certificate to one of the roots given. */
  | 'untrusted-va'
  /** The signer's certificate is not one for signing vouchers (EKU, key usage, key type). */
  | 'not-a-voucher-certificate'
  /** The VA certificate, or one above it, is outside its validity period. */
  | 'va-certificate-expired'
  /** The VA certificate, or one between it and the root, is revoked. */
  | 'va-certificate-revoked'
  /** The voucher is past its notAfter, or older than the caller accepts. */
  | 'expired'
  /** The voucher was produced in the future, clock skew allowed for. */
  | 'not-yet-valid';

export class VoucherError extends Error {
  override readonly name = 'VoucherError';
  readonly code: VoucherErrorCode;

  constructor(code: VoucherErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
