export type CorroborationErrorCode =
  | 'bad-registry'
  | 'too-few-perspectives'
  | 'bad-token'
  | 'bad-invitation'
  | 'bad-enrolment'
  /** An enrolment without one of its signatures: whoever sent it has not shown that it holds the key. */
  | 'not-proven'
  /** An enrolment by another name, place or network than the operator invited. */
  | 'other-place';

export class CorroborationError extends Error {
  override readonly name = 'CorroborationError';
  readonly code: CorroborationErrorCode;

  constructor(code: CorroborationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
