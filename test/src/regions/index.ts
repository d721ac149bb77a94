export * from './accounts.ts';
export * from './fabric.ts';
export * from './faults.ts';
export * from './load.ts';
export * from './part.ts';
export * from './regions.ts';
export * from './site.ts';
export * from './theatre.ts';
