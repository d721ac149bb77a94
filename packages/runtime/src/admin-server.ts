import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * For operators and load balancers, on an address of its own: `/healthz` (alive), `/readyz` (200, or 503 naming
 * what is missing), `/status` (JSON), `/metrics` (Prometheus).
 */
export async function startAdminServer(
  listen: { host: string; port: number },
  {
    missing,
    status,
    metrics,
  }: {
    readonly missing: () => readonly string[];
    readonly status: () => unknown;
    readonly metrics?: () => Promise<string>;
  },
): Promise<AdminServer> {
  const server: Server = createServer((request, response) => {
    const answer = (code: number, body: unknown) => {
      response.writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const absent = missing();
    if (request.method !== 'GET') answer(405, { error: 'GET only' });
    else if (request.url === '/healthz') answer(200, { alive: true });
    else if (request.url === '/readyz')
      answer(absent.length === 0 ? 200 : 503, { ready: absent.length === 0, missing: absent });
    else if (request.url === '/status') answer(200, status());
    else if (request.url === '/metrics' && metrics) void tell(metrics, response);
    else answer(404, { error: 'not here', try: ['/healthz', '/readyz', '/status', '/metrics'] });
  });
  return listening(server, listen);
}

/** Has a server listen, until it is closed with all its connections. */
export async function listening(
  server: Server,
  listen: { host: string; port: number },
): Promise<AdminServer> {
  server.listen(listen.port, listen.host);
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function tell(metrics: () => Promise<string>, response: ServerResponse): Promise<void> {
  try {
    const text = await metrics();
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text);
  } catch (error) {
    response.writeHead(500).end(`${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/** `host:port`, brackets around IPv6. */
export function splitHostPort(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
