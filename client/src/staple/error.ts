/** Why the stapler could not do what it was asked. Closed: callers may switch over it. */
export type StapleErrorCode =
  /** The stapler's own configuration. */
  | 'bad-configuration'
  /** A file of the server, or of the state directory. */
  | 'unreadable-file'
  | 'unwritable-file'
  /** The web server's configuration has a form that this reader does not know. */
  | 'bad-server-configuration'
  | 'bad-serverinfo'
  | 'too-large'
  /** Test or reload of the server failed; the files are as before. */
  | 'reload-failed'
  /** No OCSP response to carry vouchers in. */
  | 'no-ocsp'
  /** The renewal information of a VA. */
  | 'bad-renewal-information';

export class StapleError extends Error {
  override readonly name = 'StapleError';
  readonly code: StapleErrorCode;

  constructor(code: StapleErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
