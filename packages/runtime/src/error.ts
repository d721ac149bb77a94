export type RuntimeErrorCode =
  | 'bad-configuration'
  | 'unreadable-file'
  /** The configuration is good, but not for a process that runs already. */
  | 'needs-restart';

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
