export type AgentErrorCode =
  | 'location-contradicted'
  | 'bad-geoip-database'
  | 'bad-key'
  /** The voucher authority will not have this agent, however often it asks. */
  | 'join-refused'
  /** It could not be asked, or could not answer now. */
  | 'join-not-answered';

export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
