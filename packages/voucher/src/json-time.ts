import type { JsonReader } from './json-reader.ts';

/** Whole seconds, UTC, as all times in our JSON (RFC 3339 section 5.6, one form of it). */
export const timeText = (time: Date): string => time.toISOString().replace(/\.\d{3}Z$/, 'Z');

/** @throws VoucherError `malformed` */
export function readTime(reader: JsonReader): Date {
  const text = reader.matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'time such as 2026-11-22T12:00:00Z');
  const time = new Date(text);
  // Date takes 30 February and moves it.
  reader.check(!Number.isNaN(time.getTime()) && timeText(time) === text, 'no such time');
  return time;
}
