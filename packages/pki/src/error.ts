/** Why this package refused something. Closed: callers may switch over it. */
export type PkiErrorCode =
  /** The bytes are not the DER (or the text) that the grammar asks for. */
  | 'malformed'
  /** Well formed, but a form that this package refuses to judge (an indirect CRL, a version, an algorithm). */
  | 'unsupported'
  /** Larger than this package reads. */
  | 'limit'
  /** A signature, or what binds an answer to its question, does not hold. */
  | 'unverified'
  /** Not valid at the given time. */
  | 'stale'
  /** Nothing usable came back from the network. */
  | 'unreachable'
  /** What the operator gave (a directory, a list, a log key) cannot be used. */
  | 'configuration';

export class PkiError extends Error {
  override readonly name = 'PkiError';
  readonly code: PkiErrorCode;

  constructor(code: PkiErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
