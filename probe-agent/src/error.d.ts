export type AgentErrorCode = 'location-contradicted' | 'bad-geoip-database';
export declare class AgentError extends Error {
  readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions);
}
