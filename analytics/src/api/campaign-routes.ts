import { createRoute, z } from '@hono/zod-openapi';
import type { Campaign } from '../campaigns/book.ts';
import { type Api, type ApiParts, need, openStore } from './context.ts';
import { problems } from './list-routes.ts';
import { Problem } from './problem.ts';

const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits in lower case');
const endpointSchema = z.strictObject({
  address: z.union([z.ipv4(), z.ipv6()]),
  port: z.int().min(1).max(0xffff),
  serverName: z.string().max(253).default(''),
  startTls: z
    .string()
    .regex(/^[a-z0-9-]{0,32}$/)
    .default(''),
});
const choice = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('endpoints'), endpoints: z.array(endpointSchema).min(1).max(10_000) }),
  z.strictObject({ kind: z.literal('certificate'), subject: fingerprint }),
  z.strictObject({ kind: z.literal('issuer'), subject: z.string().min(1).max(2000) }),
  z.strictObject({ kind: z.literal('vouchers'), subject: z.string().max(2000).default('') }),
]);

const newCampaign = z
  .strictObject({
    name: z.string().min(1).max(200),
    choice,
    perMinute: z
      .int()
      .min(1)
      .max(6000)
      .default(60)
      .openapi({ description: 'Probes a minute over all perspectives' }),
    perspectives: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .openapi({ description: 'How many look at each endpoint' }),
    rounds: z.int().min(1).max(10_000).default(1),
    everySeconds: z
      .int()
      .min(60)
      .max(31 * 86_400)
      .default(3600),
  })
  .openapi('NewCampaign');

const campaign = z.record(z.string(), z.unknown()).openapi('Campaign');
const json = <Schema extends z.ZodType>(schema: Schema) => ({ content: { 'application/json': { schema } } });
const id = z.object({ id: z.string().regex(/^[0-9a-f]{32}$/) });

const order = createRoute({
  method: 'post',
  path: '/api/v1/campaigns',
  operationId: 'orderCampaign',
  summary: 'Orders a campaign; scope operate',
  request: { body: { required: true, ...json(newCampaign) } },
  responses: { 201: { description: 'Ordered', ...json(campaign) }, ...problems },
});
const show = createRoute({
  method: 'get',
  path: '/api/v1/campaigns/{id}',
  operationId: 'campaign',
  summary: 'A campaign and what came of it, endpoint by endpoint',
  request: { params: id },
  responses: {
    200: {
      description: 'All about it',
      ...json(z.object({ campaign, summary: z.record(z.string(), z.int()), results: z.array(campaign) })),
    },
    ...problems,
  },
});
const stop = createRoute({
  method: 'post',
  path: '/api/v1/campaigns/{id}/stop',
  operationId: 'stopCampaign',
  summary: 'Ends a campaign early; scope operate',
  request: { params: id },
  responses: { 200: { description: 'Stopped', ...json(campaign) }, ...problems },
});
const targets = createRoute({
  method: 'get',
  path: '/api/v1/campaigns/{id}/targets',
  operationId: 'campaignTargets',
  summary: 'Endpoints of a campaign in order, for whoever runs it; scope operate',
  request: {
    params: id,
    query: z.strictObject({
      from: z.coerce.number().int().min(0).default(0),
      limit: z.coerce.number().int().min(1).max(1000).default(1000),
    }),
  },
  responses: {
    200: { description: 'Endpoints', ...json(z.object({ items: z.array(campaign) })) },
    ...problems,
  },
});
const advance = createRoute({
  method: 'post',
  path: '/api/v1/campaigns/{id}/progress',
  operationId: 'advanceCampaign',
  summary: 'How far its runner is; scope operate',
  request: {
    params: id,
    body: { required: true, ...json(z.strictObject({ round: z.int().min(0), next: z.int().min(0) })) },
  },
  responses: { 200: { description: 'Noted', ...json(campaign) }, ...problems },
});

const shown = ({ version: _version, created_at: at, ...rest }: Campaign) => ({
  ...rest,
  created_at: new Date(at).toISOString(),
});

/** Campaigns are ordered here; a process of its own runs them. */
export function campaignRoutes(app: Api, parts: ApiParts): void {
  const { campaigns: book } = parts;
  const find = async (name: string) => {
    const found = await book.find(openStore(parts), name);
    if (!found) throw new Problem('not-found');
    return found;
  };
  app.openapi(order, async (context) => {
    need(context, 'operate');
    const wanted = context.req.valid('json');
    const author = context.get('caller').replace(/^token /, '');
    const made = await book.order(openStore(parts), wanted, author);
    return context.json(shown(made), 201);
  });
  app.openapi(show, async (context) => {
    need(context, 'read');
    const one = await find(context.req.valid('param').id);
    const results = await book.results(openStore(parts), one);
    const summary: Record<string, number> = {};
    for (const { state } of results) summary[String(state)] = (summary[String(state)] ?? 0) + 1;
    return context.json({ campaign: shown(one), summary, results }, 200);
  });
  app.openapi(stop, async (context) => {
    need(context, 'operate');
    const one = await find(context.req.valid('param').id);
    await book.stop(openStore(parts), one);
    return context.json(shown(await find(one.id)), 200);
  });
  app.openapi(targets, async (context) => {
    need(context, 'operate');
    const { from, limit } = context.req.valid('query');
    const items = await book.targets(openStore(parts), context.req.valid('param').id, from, limit);
    return context.json({ items } as never, 200);
  });
  app.openapi(advance, async (context) => {
    need(context, 'operate');
    const one = await find(context.req.valid('param').id);
    await book.advance(openStore(parts), one, context.req.valid('json'));
    return context.json(shown(await find(one.id)), 200);
  });
}
