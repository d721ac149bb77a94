export * from './draw.ts';
export * from './error.ts';
export * from './failure-class.ts';
export * from './observation.ts';
export * from './quorum.ts';
export * from './registry.ts';
export * from './registry-update.ts';
