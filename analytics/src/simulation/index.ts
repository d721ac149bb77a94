export * from './score.ts';
export * from './simulate.ts';
