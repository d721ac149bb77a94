import { getConnInfo } from '@hono/node-server/conninfo';
import { bodyLimit } from 'hono/body-limit';
import { secureHeaders } from 'hono/secure-headers';
import { campaignRoutes } from './campaign-routes.ts';
import { type Api, type ApiParts, newApi } from './context.ts';
import { dashboardRoutes } from './dashboard-routes.ts';
import { listRoutes } from './list-routes.ts';
import { pageRoutes } from './page-routes.ts';
import { Problem, answerProblem } from './problem.ts';
import { RateLimit } from './rate-limit.ts';
import { sqlRoutes } from './sql-routes.ts';
import type { Scope } from './tokens.ts';

const maxBodyBytes = 1_000_000;

const description = `Observations of the perspectives of a MECAI voucher authority and what the rules make of them.
Lists come newest first, page by page: \`next\` is the \`cursor\` of the next page. Results are JSON, CSV, Parquet or
Arrow, by \`format\` or \`Accept\`. Errors are problem details (RFC 9457).`;

/** The API and the dashboard. */
export function createApp(parts: ApiParts): Api {
  const app = newApi();
  app.onError((error, context) => {
    if (!(error instanceof Problem) && error.name !== 'AnalyticsError')
      parts.log.error({ err: error, path: context.req.path }, 'request failed');
    return answerProblem(context, error);
  });
  app.notFound((context) => answerProblem(context, new Problem('not-found')));
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
      xFrameOptions: 'DENY',
      referrerPolicy: 'no-referrer',
      crossOriginOpenerPolicy: 'same-origin',
      crossOriginResourcePolicy: 'same-origin',
      permissionsPolicy: { camera: [], geolocation: [], microphone: [] },
    }),
  );
  const tooLarge = () => {
    throw new Problem('bad-parameter', `more than ${maxBodyBytes} octets`);
  };
  app.use('/api/*', bodyLimit({ maxSize: maxBodyBytes, onError: tooLarge }));
  authenticate(app, parts);

  listRoutes(app, parts);
  pageRoutes(app, parts);
  sqlRoutes(app, parts);
  campaignRoutes(app, parts);
  app.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer' });
  app.doc31('/api/openapi.json', {
    openapi: '3.1.0',
    info: { title: 'MECAI analytics', version: '1', description, license: { name: 'Apache-2.0' } },
    security: [{ token: [] }, {}],
  });
  dashboardRoutes(app, parts.dashboard);
  return app;
}

/** Who asks, with what scopes, and not too often. */
function authenticate(app: Api, { tokens, limits, now }: ApiParts): void {
  const limit = new RateLimit();
  app.use('/api/v1/*', async (context, next) => {
    // What the dashboard takes for now.
    context.header('date', new Date(now()).toUTCString());
    const header = context.req.header('authorization');
    const given = header === undefined ? undefined : /^Bearer (\S{1,200})$/i.exec(header)?.[1];
    const token = given === undefined ? undefined : tokens.find(given);
    if (header !== undefined && !token) throw new Problem('unauthenticated', 'this token is not known');
    const caller = token ? `token ${token.name}` : `address ${getConnInfo(context).remote.address ?? ''}`;
    const { anonymousRead, requestsPerMinute } = limits();
    const wait = limit.take(caller, token?.requestsPerMinute ?? requestsPerMinute, now());
    if (wait > 0) throw new Problem('rate-limited', `again in ${wait} s`, { 'retry-after': String(wait) });
    const scopes = new Set<Scope>(token?.scopes ?? (anonymousRead ? ['read'] : []));
    context.set('caller', caller);
    context.set('scopes', scopes);
    await next();
    context.header('cache-control', 'no-store');
  });
}
