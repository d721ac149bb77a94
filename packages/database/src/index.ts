export * from './database.ts';
export * from './error.ts';
export * from './migrations.ts';
export * from './open.ts';
