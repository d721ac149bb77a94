export * from './prober.ts';
