import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type ServerOptions, createServer as createSecureServer } from 'node:https';

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface TestHttp extends AsyncDisposable {
  readonly port: number;
  /** `METHOD /path` of each request, in the order they came. */
  readonly asked: string[];
  handler: HttpHandler;
}

/** HTTP, or with a certificate HTTPS, on 127.0.0.1. */
export async function startHttp(handler: HttpHandler, tls?: ServerOptions): Promise<TestHttp> {
  const serve: HttpHandler = (request, response) => {
    http.asked.push(`${request.method} ${request.url}`);
    http.handler(request, response);
  };
  const server = tls ? createSecureServer(tls, serve) : createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new TypeError('not on an IP address');
  const http: TestHttp = {
    port: at.port,
    asked: [],
    handler,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return http;
}
