export * from './events.ts';
export * from './score.ts';
export * from './simulate.ts';
