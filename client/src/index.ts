export {
  type Check,
  type CheckCode,
  type CheckFailure,
  type CheckOptions,
  checkVoucher,
  type Expectations,
} from './check.ts';
export { countryText, describePerspective, describeVoucher } from './describe.ts';
export { ClientError, type ClientErrorCode } from './error.ts';
export { type RequestOptions, requestVoucher, vaAgent, type VaAgentOptions } from './request.ts';
export * from './va-list/va-list.ts';
export * from './candidates.ts';
export * from './choice/rules.ts';
export { chooseVas, type Choice, type ChooseOptions, type Surroundings } from './choice/choose.ts';
export * from './checker.ts';
export { type KnownStatus, RevocationCache, type RevocationCacheOptions } from './revocation-cache.ts';
export * from './guard/policy.ts';
export {
  Guard,
  type GuardedConnection,
  type GuardOptions,
  type Outcome,
  type Verdict,
  verdictOf,
} from './guard/guard.ts';
export { intranetRevocation } from './guard/intranet.ts';
export { GuardedAgent, undiciConnector, type UndiciConnectOptions } from './guard/agent.ts';
export type { TlsOptions } from './guard/tls-socket.ts';
export * from './perspectives.ts';
export * from './report.ts';
