import { AnalyticsError } from '../error.ts';

/** Codes of the engine for limits that were reached. */
const limits = new Set([
  158, // TOO_MANY_ROWS
  159, // TIMEOUT_EXCEEDED
  160, // TOO_SLOW
  167, // TOO_DEEP_AST
  168, // TOO_BIG_AST
  191, // SET_SIZE_LIMIT_EXCEEDED
  241, // MEMORY_LIMIT_EXCEEDED
  290, // LIMIT_EXCEEDED
  306, // TOO_DEEP_RECURSION
  307, // TOO_MANY_BYTES
  396, // TOO_MANY_ROWS_OR_BYTES
]);

/** Codes of the engine for what its user may not do. */
const refusals = new Set([
  164, // READONLY
  497, // ACCESS_DENIED
]);

/** What the engine says about a query of a user, without where it says it. */
export function engineFault(error: unknown): AnalyticsError {
  const text = error instanceof Error ? error.message : String(error);
  const number = error instanceof Error && 'code' in error ? Number(error.code) : Number.NaN;
  const code = Number.isNaN(number) ? Number(/Code: (\d+)/.exec(text)?.[1]) : number;
  const message = text
    .replace(/^(Query failed: )?(Code: \d+\. )?(DB::Exception: )?/, '')
    .replace(/\s*\(version [^)]*\)/g, '')
    .slice(0, 1000)
    .toWellFormed();
  const kind = limits.has(code) ? 'query-limit' : refusals.has(code) ? 'query-refused' : 'query-failed';
  return new AnalyticsError(kind, message, { cause: error });
}
