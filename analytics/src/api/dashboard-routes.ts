import { serveStatic } from '@hono/node-server/serve-static';
import type { Api } from './context.ts';

/** The built dashboard: its files by name, and its page for whatever else a person may have in the address bar. */
export function dashboardRoutes(app: Api, directory: string | undefined): void {
  if (directory === undefined) return;
  app.get(
    '/assets/*',
    serveStatic({
      root: directory,
      // The name of each has a hash of what is in it.
      onFound: (_, context) => context.header('cache-control', 'public, max-age=31536000, immutable'),
    }),
  );
  const page = serveStatic({
    root: directory,
    path: 'index.html',
    onFound: (_, context) => context.header('cache-control', 'no-cache'),
  });
  app.get('*', (context, next) =>
    /^\/(api|assets)\//.test(context.req.path) ? next() : page(context, next),
  );
}
