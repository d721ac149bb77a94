import { createRoute, z } from '@hono/zod-openapi';
import { Readable } from 'node:stream';
import { maxQueryLength } from '../sql/check.ts';
import { readableTables } from '../sql/tables.ts';
import { type Api, type ApiParts, need } from './context.ts';
import { attachment, formatSchema, formats, wantedFormat } from './formats.ts';
import { problems } from './list-routes.ts';

const route = createRoute({
  method: 'post',
  path: '/api/v1/sql',
  operationId: 'sql',
  summary: 'One SELECT in the SQL of ClickHouse, over the tables of SCHEMA.md; scope sql',
  request: {
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({
            query: z.string().min(1).max(maxQueryLength).openapi({
              example:
                "SELECT country, count() FROM observations WHERE verdict = 'mismatch' GROUP BY country",
            }),
            format: formatSchema.optional(),
          }),
        },
      },
    },
  },
  responses: {
    200: {
      description: 'The result; JSON has its columns in `meta` and its rows in `data`',
      content: {
        'application/json': {
          schema: z.object({
            meta: z.array(z.object({ name: z.string(), type: z.string() })),
            data: z.array(z.array(z.unknown())),
            rows: z.int(),
          }),
        },
      },
    },
    ...problems,
  },
});

/** Queries of researchers; tables.ts has what they may read. */
export function sqlRoutes(app: Api, { sql }: ApiParts): void {
  app.openapi(route, async (context) => {
    need(context, 'sql');
    const { query, format: asked } = context.req.valid('json');
    const format = wantedFormat(context, asked);
    const stream = await sql.run(query, format === 'json' ? 'JSONCompact' : formats[format].engine);
    const answer = context.body(Readable.toWeb(stream) as ReadableStream, 200, {
      'content-type': formats[format].type,
      ...attachment('result', format),
    });
    // Its type is that of one format among several.
    return answer as never;
  });
  app.get('/api/v1/tables', (context) => {
    need(context, 'read');
    return context.json({ tables: Object.keys(readableTables) });
  });
}
