export * from './analytics.ts';
export * from './config.ts';
export * from './error.ts';
export * from './migrations.ts';
export * from './queries.ts';
export * from './rows.ts';
