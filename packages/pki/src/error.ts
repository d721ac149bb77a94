/** Why this package refused something. Closed: callers may switch over it. */
export type PkiErrorCode =
  /** The bytes are not the DER that the grammar asks for. */
  'malformed';

export class PkiError extends Error {
  override readonly name = 'PkiError';
  readonly code: PkiErrorCode;

  constructor(code: PkiErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
