import type { ServerFailure } from './checker.ts';
/** Why the client could not do what it was asked. Closed: callers may switch over it. */
export type ClientErrorCode =
  /** The VA's URL is none, or not https. */
  | 'bad-url'
  /** No answer: name, network, TLS or time. */
  | 'unreachable'
  /** The VA answered with a problem (RFC 9457) in place of a VRP response. */
  | 'problem'
  /** The VA's answer is not a VRP response to what was asked. */
  | 'bad-response'
  /** The VA list is not what its grammar asks for. */
  | 'va-list-malformed'
  /** No key of the client vendor signed the VA list. */
  | 'va-list-unsigned'
  | 'va-list-expired'
  /** An older VA list than one seen before. */
  | 'va-list-rolled-back'
  /** The rules of choice, or the policy around them, are not what their grammar asks for. */
  | 'rules-malformed'
  /** The rules leave fewer VAs than have to vouch. */
  | 'too-few-vas'
  /** A rule is about a country that is not known. */
  | 'country-unknown'
  /** The perspective directory does not verify. */
  | 'directory-untrusted'
  /** A version of the directory is not the one that a later version, or the reader, knows. */
  | 'history-rewritten'
  /** The check refused the connection; `failures` say why. */
  | 'refused';

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  /** Of a `refused` connection. */
  readonly failures: readonly ServerFailure[];

  constructor(
    code: ClientErrorCode,
    message: string,
    { failures = [], ...options }: ErrorOptions & { readonly failures?: readonly ServerFailure[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.failures = failures;
  }
}
