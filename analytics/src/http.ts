import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type AdminServer, listening, splitHostPort } from '@mecai/runtime';
import { countRows, observationsOf } from './queries.ts';
import type { Store } from './store.ts';

export interface Served {
  /** What is missing for the process to do its work; empty: ready. */
  readonly missing: () => readonly string[];
  readonly status: () => Promise<unknown>;
  /** Prometheus text format. */
  readonly metrics: () => Promise<string>;
  readonly store: () => Store | undefined;
}

interface Answer {
  readonly code: number;
  readonly body: unknown;
  /** Of a body that is text; JSON otherwise. */
  readonly type?: string;
}

type Route = (parameters: URLSearchParams) => Answer | Promise<Answer>;

const ok = (body: unknown): Answer => ({ code: 200, body });

/** Problem details (RFC 9457) with the type left at about:blank. */
const problem = (code: number, title: string, more: object = {}): Answer => ({
  code,
  body: { title, status: code, ...more },
});

/**
 * The HTTP interface: `/healthz`, `/readyz`, `/status`, `/metrics`, `/counts` (rows by table) and
 * `/observations?nonce=<64 hex digits>` (at most 1,000). Only GET; nothing it does writes.
 */
export function startHttp(listen: string, served: Served): Promise<AdminServer> {
  const routes = routesOf(served);
  const server = createServer((request, response) => {
    answer(request, routes).then(
      (found) => send(response, found),
      (error: unknown) =>
        send(response, problem(503, 'The store does not answer', { detail: message(error) })),
    );
  });
  return listening(server, splitHostPort(listen));
}

function routesOf({ missing, status, metrics, store }: Served): ReadonlyMap<string, Route> {
  const withStore = (use: (store: Store) => Promise<Answer>) => {
    const open = store();
    return open ? use(open) : problem(503, 'The store is absent');
  };
  return new Map<string, Route>([
    ['/healthz', () => ok({ alive: true })],
    [
      '/readyz',
      () => {
        const absent = missing();
        const ready = absent.length === 0;
        return { code: ready ? 200 : 503, body: { ready, missing: absent } };
      },
    ],
    ['/status', async () => ok(await status())],
    ['/metrics', async () => ({ code: 200, body: await metrics(), type: 'text/plain; version=0.0.4' })],
    ['/counts', () => withStore(async (open) => ok(await countRows(open)))],
    [
      '/observations',
      (parameters) => {
        const nonce = parameters.get('nonce') ?? '';
        if (!/^[0-9a-f]{64}$/.test(nonce) || parameters.size !== 1) {
          return problem(400, 'One parameter: nonce, 64 hexadecimal digits in lower case');
        }
        return withStore(async (open) => ok(await observationsOf(open, nonce)));
      },
    ],
  ]);
}

async function answer(request: IncomingMessage, routes: ReadonlyMap<string, Route>): Promise<Answer> {
  if (request.method !== 'GET') return problem(405, 'GET only');
  const url = URL.parse(request.url ?? '/', 'http://analytics');
  const route = url && routes.get(url.pathname);
  return route ? await route(url.searchParams) : problem(404, 'Not here', { try: [...routes.keys()] });
}

function send(response: ServerResponse, { code, body, type }: Answer): void {
  response.writeHead(code, {
    'content-type': type ?? (code >= 400 && code !== 503 ? 'application/problem+json' : 'application/json'),
    'cache-control': 'no-store',
    ...(code === 405 && { allow: 'GET' }),
  });
  response.end(typeof body === 'string' ? body : `${JSON.stringify(body)}\n`);
}

const message = (error: unknown) => (error instanceof Error ? error.message : 'unknown');
