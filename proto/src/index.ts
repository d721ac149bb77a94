export {
  AgentStatus,
  Echo,
  KeyType,
  Observation,
  ProbeFailure,
  RoundTrip,
  SignedObservation,
  StapledOcsp,
  Target,
  Task,
  Timings,
  TlsParameters,
} from '../gen/mecai/v1/observation.ts';
export { Decision, Mismatch, PerspectiveOutcome } from '../gen/mecai/v1/record.ts';
export { CheckStatistics, ClientReport, CodeCount, FailedCheck } from '../gen/mecai/v1/report.ts';
export { encoded } from './encoded.ts';
export * from './subjects.ts';
export * from './permissions.ts';
export * from './streams.ts';
