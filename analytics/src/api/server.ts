import { createAdaptorServer } from '@hono/node-server';
import type { AddressInfo } from 'node:net';
import { type AdminServer, splitHostPort } from '@mecai/runtime';
import type { Server } from 'node:http';
import { createApp } from './app.ts';
import type { ApiParts } from './context.ts';

/** Serves API and dashboard at `host:port`. */
export async function startApi(listen: string, parts: ApiParts): Promise<AdminServer> {
  const server = createAdaptorServer({ fetch: createApp(parts).fetch }) as Server;
  const { host, port } = splitHostPort(listen);
  server.listen(port, host);
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
