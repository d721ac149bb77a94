export type CorroborationErrorCode = 'bad-registry' | 'too-few-perspectives';

export class CorroborationError extends Error {
  override readonly name = 'CorroborationError';
  readonly code: CorroborationErrorCode;

  constructor(code: CorroborationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
