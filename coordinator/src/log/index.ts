/** For benches, which need the log without the coordinator around it. */
export * from './certificate-log.ts';
export * from './last-seen.ts';
export { logMigrations } from './schema.ts';
export { sweep } from './sweep.ts';
export { noticeMigrations } from '../notice/schema.ts';
