export * from './der-reader.ts';
export * as der from './der-writer.ts';
export * from './der-tags.ts';
export * from './error.ts';
export * from './certificate.ts';
