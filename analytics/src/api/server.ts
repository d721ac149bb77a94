import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { type AdminServer, listening, splitHostPort } from '@mecai/runtime';
import { createApp } from './app.ts';
import type { ApiParts } from './context.ts';

/** Serves API and dashboard at `host:port`. */
export function startApi(listen: string, parts: ApiParts): Promise<AdminServer> {
  const server = createAdaptorServer({ fetch: createApp(parts).fetch }) as Server;
  return listening(server, splitHostPort(listen));
}
