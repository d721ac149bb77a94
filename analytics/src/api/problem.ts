import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { AnalyticsError, type AnalyticsErrorCode } from '../error.ts';

/** Problem details (RFC 9457); `code` is what a program goes by. */
export const problemSchema = z
  .object({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string().optional(),
  })
  .openapi('Problem');

export type ProblemCode =
  | AnalyticsErrorCode
  | 'bad-parameter'
  | 'not-found'
  | 'unauthenticated'
  | 'forbidden'
  | 'rate-limited'
  | 'internal';

const kinds: Readonly<Record<ProblemCode, readonly [ContentfulStatusCode, string]>> = {
  'bad-parameter': [400, 'A parameter is wrong'],
  'query-refused': [403, 'The query is not allowed'],
  'query-failed': [400, 'The query cannot be run'],
  'query-limit': [422, 'The query reached a limit'],
  unauthenticated: [401, 'A token is needed'],
  forbidden: [403, 'The token does not reach so far'],
  'not-found': [404, 'Not here'],
  'rate-limited': [429, 'Too many requests'],
  busy: [503, 'Too much to do'],
  'store-absent': [503, 'The store is absent'],
  'store-held': [503, 'The store is absent'],
  'newer-schema': [503, 'The store is absent'],
  internal: [500, 'This did not work'],
};

export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ProblemCode, detail?: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.code = code;
    this.headers = headers;
  }
}

export function answerProblem(context: Context, error: unknown): Response {
  const code = error instanceof Problem || error instanceof AnalyticsError ? error.code : 'internal';
  const [status, title] = kinds[code];
  // What went wrong inside is for the log.
  const detail = code === 'internal' || !(error instanceof Error) ? '' : error.message;
  const body = { type: 'about:blank', title, status, code, ...(detail !== '' && { detail }) };
  return context.body(`${JSON.stringify(body)}\n`, status, {
    'content-type': 'application/problem+json',
    ...(code === 'unauthenticated' && { 'www-authenticate': 'Bearer' }),
    ...(code === 'busy' && { 'retry-after': '2' }),
    ...(error instanceof Problem && error.headers),
  });
}
