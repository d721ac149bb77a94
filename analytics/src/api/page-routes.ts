import { createRoute, z } from '@hono/zod-openapi';
import { type Api, type ApiParts, need, openStore } from './context.ts';
import { problems } from './list-routes.ts';
import {
  activity,
  certificateDer,
  certificatePage,
  endpointPage,
  incidentPage,
  parseEndpoint,
  rateDimensions,
  rates,
  totals,
} from './pages.ts';
import { Problem } from './problem.ts';

const row = z.record(z.string(), z.unknown());
const rows = z.array(row);
const found = (schema: z.ZodType, description: string) => ({
  200: { description, content: { 'application/json': { schema } } },
  ...problems,
});
const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits in lower case');

const perspectives = createRoute({
  method: 'get',
  path: '/api/v1/perspectives',
  operationId: 'perspectives',
  summary: 'Perspectives, whether they live, and what they did in the last hour',
  responses: found(z.object({ items: rows }), 'All of the registry'),
});

const overview = createRoute({
  method: 'get',
  path: '/api/v1/totals',
  operationId: 'totals',
  summary: 'Rows by table, open incidents, newest observation',
  responses: found(row, 'Figures'),
});

const maxPoints = 2000;

const ratesRoute = createRoute({
  method: 'get',
  path: '/api/v1/rates',
  operationId: 'rates',
  summary: 'Observations by time, verdict and one dimension',
  request: {
    query: z.strictObject({
      by: z.enum(rateDimensions).default('country'),
      country: z.string().max(2).optional(),
      since: time.optional().openapi({ description: 'A day before `until` unless said' }),
      until: time.optional().openapi({ description: 'Now unless said' }),
      step: z.coerce
        .number()
        .int()
        .min(60)
        .max(31 * 86_400)
        .optional()
        .openapi({ description: 'Seconds' }),
    }),
  },
  responses: found(
    z.object({ step: z.int(), since: z.string(), until: z.string(), items: rows }),
    'By time, then name',
  ),
});

/** Steps people think in, seconds. */
const steps = [60, 300, 900, 3600, 6 * 3600, 86_400];

const incident = createRoute({
  method: 'get',
  path: '/api/v1/incidents/{id}',
  operationId: 'incident',
  summary: 'An incident: evidence, the chains on both sides, timeline',
  request: { params: z.object({ id: z.string().regex(/^[0-9a-f]{32}$/) }) },
  responses: found(z.object({ incident: row, evidence: rows, chains: rows, timeline: rows }), 'All about it'),
});

const endpoint = createRoute({
  method: 'get',
  path: '/api/v1/endpoints/{endpoint}',
  operationId: 'endpoint',
  summary: 'Certificates of an endpoint by country and time',
  request: {
    params: z.object({ endpoint: z.string().max(320).openapi({ example: 'www.example.org:443' }) }),
  },
  responses: found(
    z.object({ endpoint: row, history: rows, days: rows, recent: rows, certificates: rows }),
    'All about it',
  ),
});

const certificate = createRoute({
  method: 'get',
  path: '/api/v1/certificates/{fingerprint}',
  operationId: 'certificate',
  summary: 'A certificate: vouchers for it, where it was seen, whether it is still served',
  request: { params: z.object({ fingerprint }) },
  responses: found(
    z.object({ certificate: row, seen: row.nullable(), sightings: rows, vouchers: rows, incidents: rows }),
    'All about it',
  ),
});

const der = createRoute({
  method: 'get',
  path: '/api/v1/certificates/{fingerprint}/der',
  operationId: 'certificateDer',
  summary: 'The certificate itself',
  request: { params: z.object({ fingerprint }) },
  responses: {
    200: {
      description: 'DER',
      content: { 'application/pkix-cert': { schema: z.string().openapi({ format: 'binary' }) } },
    },
    ...problems,
  },
});

/** What is not a list. */
export function pageRoutes(app: Api, parts: ApiParts): void {
  app.openapi(perspectives, async (context) => {
    need(context, 'read');
    const done = await activity(openStore(parts), parts.now());
    const of = new Map(done.map((one) => [one['agent'], one]));
    const none = { observations: 0, mismatches: 0, inconclusive: 0, last_minute: null };
    const items = parts.perspectives.list().map((one) => ({ ...none, ...one, ...of.get(one.agent) }));
    return context.json({ items }, 200);
  });
  app.openapi(overview, async (context) => {
    need(context, 'read');
    return context.json(await totals(openStore(parts)), 200);
  });
  app.openapi(ratesRoute, async (context) => {
    need(context, 'read');
    const { by, country, since: from, until: to, step: asked } = context.req.valid('query');
    const until = to ?? parts.now();
    const since = from ?? until - 86_400_000;
    const seconds = (until - since) / 1000;
    const step = asked ?? steps.find((one) => seconds / one <= 200) ?? 86_400;
    if (seconds <= 0 || seconds / step > maxPoints) {
      throw new Problem('bad-parameter', `step: 1 to ${maxPoints} steps between since and until`);
    }
    const items = await rates(openStore(parts), { by, country, since, until, step });
    const iso = (at: number) => new Date(at).toISOString();
    return context.json({ step, since: iso(since), until: iso(until), items }, 200);
  });
  app.openapi(incident, async (context) => {
    need(context, 'read');
    const page = await incidentPage(openStore(parts), context.req.valid('param').id);
    if (!page) throw new Problem('not-found');
    return context.json(page as never, 200);
  });
  app.openapi(endpoint, async (context) => {
    need(context, 'read');
    const parsed = parseEndpoint(context.req.valid('param').endpoint);
    if (!parsed) throw new Problem('bad-parameter', 'endpoint: name:port or name:port/protocol');
    const page = await endpointPage(openStore(parts), parsed);
    if (!page) throw new Problem('not-found');
    return context.json(page as never, 200);
  });
  app.openapi(certificate, async (context) => {
    need(context, 'read');
    const page = await certificatePage(openStore(parts), context.req.valid('param').fingerprint);
    if (!page) throw new Problem('not-found');
    return context.json(page as never, 200);
  });
  app.openapi(der, async (context) => {
    need(context, 'read');
    const { fingerprint: name } = context.req.valid('param');
    const bytes = await certificateDer(openStore(parts), name);
    if (!bytes) throw new Problem('not-found');
    return context.body(new Uint8Array(bytes), 200, {
      'content-type': 'application/pkix-cert',
      'content-disposition': `attachment; filename="${name.slice(0, 16)}.cer"`,
    });
  });
}
