/**
 * What the coordinator's HTTPS server offers besides the VRP: each route is a method, a path and a function. Here
 * are the limits that hold for all of them.
 *
 * | status | when                                                             |
 * | ------ | ---------------------------------------------------------------- |
 * | 400    | `bad-request`, thrown by the handler                              |
 * | 404, 405, 408, 413, 415 | not here, not so, too slow, too large, another media type |
 * | 429    | too many requests of this requester                              |
 * | 503    | a part or the database is away, or too busy                      |
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { DatabaseError } from '@mecai/database';
import type { Logger } from '@mecai/runtime';
import type * as z from 'zod';
import { CoordinatorError } from './error.ts';
import { type Problem, problems, sendProblem } from './http-answers.ts';
import { isCoded, mediaType, readBody, requesterOf } from './http-requests.ts';
import { type RateLimiter, limitKey } from './rate-limits.ts';
import type { Requester } from './vrp-handler.ts';

export interface Exchange {
  readonly requester: Requester;
  /** What stands in the path in the place of `:name`. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Of a POST. */
  readonly body: Buffer;
}

export interface Reply {
  /** 200 by default. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly type: string;
  readonly body: string | Uint8Array;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Such as `/certificates/:sha256/objections`. */
  readonly path: string;
  /** Media type of a POST's body; JSON by default. */
  readonly takes?: string;
  /** Of the body; 16,384 by default. */
  readonly maxOctets?: number;
  /** @throws CoordinatorError `bad-request`; DatabaseError */
  readonly handle: (exchange: Exchange) => Reply | Problem | Promise<Reply | Problem>;
}

/** What serves a path, or undefined for a path that nothing is at. */
export type PathServer = (
  path: string,
) => ((request: IncomingMessage, response: ServerResponse) => Promise<void>) | undefined;

export interface RoutesParts {
  readonly routes: readonly Route[];
  /** Requests of one requester. */
  readonly limiter: RateLimiter;
  /** For the body of a request; 10,000 by default. */
  readonly bodyWithinMs?: number;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const defaultOctets = 16_384;

export function serveRoutes(parts: RoutesParts): PathServer {
  const compiled = parts.routes.map((route) => ({ route, segments: route.path.split('/') }));
  return (path) => {
    const given = path.split('/');
    const here = compiled.flatMap(({ route, segments }) => {
      const parameters = matched(segments, given);
      return parameters ? [{ route, parameters }] : [];
    });
    if (here.length === 0) return undefined;
    return async (request, response) => {
      const found = here.find(({ route }) => route.method === request.method);
      const problem = found
        ? await serve(parts, found, request, response)
        : problems.notAllowed(here.map(({ route }) => route.method).join(', '));
      if (problem) sendProblem(response, problem);
    };
  };
}

/** Answers, or returns the problem to answer with. */
async function serve(
  { limiter, bodyWithinMs = 10_000, log, now }: RoutesParts,
  { route, parameters }: { route: Route; parameters: Readonly<Record<string, string>> },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Problem | undefined> {
  if (!(request.socket instanceof TLSSocket)) throw new TypeError('not over TLS');
  const requester = requesterOf(request.socket);
  const wait = limiter.take(limitKey(requester.address), now());
  if (wait > 0) return problems.tooMany(wait);
  const { takes = 'application/json', maxOctets = defaultOctets } = route;
  let body: Buffer = Buffer.alloc(0);
  if (route.method === 'POST') {
    if (mediaType(request.headers['content-type']) !== takes) return problems.onlyType(takes);
    if (isCoded(request)) return problems.coded;
    const read = await readBody(request, bodyWithinMs, maxOctets);
    if (read === 'cut-off') return undefined;
    if (read === 'too-large') return problems.tooLarge(maxOctets);
    if (read === 'too-slow') return problems.tooSlow(bodyWithinMs);
    body = read;
  }
  const query = new URL(request.url ?? '', 'https://here.invalid').searchParams;
  let reply: Reply | Problem;
  try {
    reply = await route.handle({ requester, parameters, query, body });
  } catch (error) {
    if (error instanceof CoordinatorError && error.code === 'bad-request') return problems.bad(error.message);
    if (!(error instanceof CoordinatorError || error instanceof DatabaseError)) throw error;
    log.warn({ err: error, path: route.path }, 'a part is away');
    return problems.unavailable;
  }
  if ('title' in reply) return reply;
  const bytes = Buffer.from(reply.body);
  response.writeHead(reply.status ?? 200, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...reply.headers,
    'content-type': reply.type,
    'content-length': bytes.length,
  });
  response.end(bytes);
  return undefined;
}

function matched(
  segments: readonly string[],
  given: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (segments.length !== given.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const value = given[index]!;
    if (!segment.startsWith(':')) {
      if (segment !== value) return undefined;
    } else if (/^[A-Za-z0-9._~-]{1,255}$/.test(value)) parameters[segment.slice(1)] = value;
    else return undefined;
  }
  return parameters;
}

export const jsonReply = (value: unknown, status = 200): Reply => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(value)}\n`,
});

/**
 * The body of a POST as the schema says.
 *
 * @throws CoordinatorError `bad-request` naming the first member that is wrong
 */
export function readJson<Schema extends z.ZodType>(schema: Schema, body: Buffer): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new CoordinatorError('bad-request', 'the body is not JSON in UTF-8', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue!.path.map(String).join('.') || 'the body';
  throw new CoordinatorError('bad-request', `${where}: ${issue!.message}`);
}
