export { defaultLimits } from './limits.ts';
export { probe } from './probe.ts';
export * from './prober.ts';
