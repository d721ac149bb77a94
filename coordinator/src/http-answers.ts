/** Answers over HTTPS: the VRP's own in DER or JSON, and problems (RFC 9457). */
import type { ServerResponse } from 'node:http';
import {
  type ChainResult,
  type RefusalReason,
  type VoucherResponse,
  encodeVoucherResponse,
  encodeVoucherResponseJson,
  mediaTypes,
  vrpLimits,
} from '@mecai/voucher';
import type { Answer } from './vrp-handler.ts';

export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** The VRP's word, where there is one. */
  readonly reason?: RefusalReason;
  readonly headers?: Readonly<Record<string, string>>;
}

export const problems = {
  notHere: { status: 404, title: 'Not here', detail: 'try POST /vrp or GET /vrp/nonce' },
  notAllowed: (method: string): Problem => ({
    status: 405,
    title: 'Method not allowed',
    detail: `only ${method}`,
    headers: { allow: method },
  }),
  // The connection is of no use any more: the rest of the body may still be to come.
  tooSlow: (withinMs: number): Problem => ({
    status: 408,
    title: 'Request timeout',
    detail: `the request was not there after ${withinMs} ms`,
    headers: { connection: 'close' },
  }),
  tooLarge: (octets: number): Problem => ({
    status: 413,
    title: 'Content too large',
    detail: `a request has at most ${octets} octets`,
  }),
  mediaType: {
    status: 415,
    title: 'Unsupported media type',
    detail: `send ${mediaTypes.request} or ${mediaTypes.json}`,
    headers: { accept: `${mediaTypes.request}, ${mediaTypes.json}` },
  },
  onlyType: (type: string): Problem => ({
    status: 415,
    title: 'Unsupported media type',
    detail: `send ${type}`,
    headers: { accept: type },
  }),
  coded: {
    status: 415,
    title: 'Unsupported content coding',
    detail: 'send the body as it is',
    headers: { 'accept-encoding': 'identity' },
  },
  bad: (detail: string): Problem => ({ status: 400, title: 'Bad request', detail }),
  tooMany: (seconds: number): Problem => ({
    status: 429,
    title: 'Too many requests',
    detail: 'too many requests for this requester',
    headers: { 'retry-after': String(seconds) },
  }),
  unavailable: {
    status: 503,
    title: 'Unavailable',
    detail: 'a part of the authority is away',
    headers: { 'retry-after': '10' },
  },
  busy: (inFlight: number): Problem => ({
    status: 503,
    title: 'Busy',
    detail: `${inFlight} requests are in progress`,
    headers: { 'retry-after': '1' },
  }),
  internal: { status: 500, title: 'Internal error', detail: 'the operator finds the reason in the log' },
} as const;

/** RFC 9457. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  const { headers, ...members } = problem;
  const body = Buffer.from(`${JSON.stringify({ type: 'about:blank', ...members })}\n`);
  response.writeHead(problem.status, {
    'cache-control': 'no-store',
    ...headers,
    'content-type': 'application/problem+json',
    'content-length': body.length,
  });
  response.end(body);
}

/** A refusal of the only chain, or of the request as a whole, sets the HTTP status; one of several does not. */
const statuses: Partial<Record<RefusalReason, number>> = {
  malformed: 400,
  'forbidden-target': 403,
  unauthenticated: 403,
  'rate-limited': 429,
};

export function sendAnswer(
  response: ServerResponse,
  { response: { results }, unavailable }: Answer,
  json: boolean,
): void {
  const [only, ...others] = results;
  const refused = others.length === 0 ? only?.reason : undefined;
  const status = unavailable ? 503 : ((refused && statuses[refused]) ?? 200);
  const waits = results.flatMap(({ retryAfter }) => retryAfter ?? []);
  const headers = {
    'cache-control': 'no-store',
    ...(status >= 400 && waits.length > 0 && { 'retry-after': String(Math.max(...waits)) }),
  };
  if (json && refused && (status === 400 || status === 403)) {
    const detail = only?.detail ?? '';
    return sendProblem(response, { status, title: `Refused: ${refused}`, detail, reason: refused, headers });
  }
  const body: VoucherResponse = { results: results.map(fitting) };
  const bytes = json ? Buffer.from(encodeVoucherResponseJson(body)) : encodeVoucherResponse(body);
  response.writeHead(status, {
    ...headers,
    'content-type': json ? mediaTypes.json : mediaTypes.response,
    'content-length': bytes.length,
  });
  response.end(bytes);
}

/** Details quote names from certificates and messages from elsewhere: cut to what the grammar takes. */
function fitting(result: ChainResult): ChainResult {
  const { detail, ...rest } = result;
  if (detail === undefined) return result;
  const cut = cutTo(detail, vrpLimits.detailOctets);
  return cut === '' ? rest : { ...rest, detail: cut };
}

/** At most so many octets of UTF-8, no character cut in two. */
export function cutTo(text: string, octets: number): string {
  if (text.length * 3 <= octets && text.isWellFormed()) return text;
  const bytes = Buffer.from(text.toWellFormed());
  if (bytes.length <= octets) return bytes.toString();
  const dots = '…';
  let end = octets - Buffer.byteLength(dots);
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end) + dots;
}
