import { createRoute, z } from '@hono/zod-openapi';
import { Readable } from 'node:stream';
import { rowSchema } from './columns.ts';
import { type Api, type ApiParts, need, openStore } from './context.ts';
import { attachment, formats, wantedFormat } from './formats.ts';
import { type Listing, type ListingRequest, listingQuery, readPage, streamPage } from './listing.ts';
import { listings } from './listings.ts';
import { problemSchema } from './problem.ts';

const binary = z.string().openapi({ format: 'binary' });

/** What every answer may be instead. */
export const problems = {
  default: {
    description: 'Problem details (RFC 9457)',
    content: { 'application/problem+json': { schema: problemSchema } },
  },
};

/** One `GET /api/v1/<name>` a listing. */
export function listRoutes(app: Api, parts: ApiParts): void {
  for (const listing of listings) {
    const { name, summary } = listing;
    const route = createRoute({
      method: 'get',
      path: `/api/v1/${name}`,
      operationId: name,
      summary,
      request: { query: listingQuery(listing) },
      responses: {
        200: {
          description: 'A page of rows, newest first',
          headers: z.object({ Link: z.string().optional().openapi({ description: 'rel="next"' }) }),
          content: {
            [formats.json.type]: {
              schema: z.object({
                items: z.array(rowSchema(listing.columns)),
                next: z
                  .string()
                  .nullable()
                  .openapi({ description: 'cursor of the next page; null: the last' }),
              }),
            },
            'text/csv': { schema: z.string() },
            [formats.parquet.type]: { schema: binary },
            [formats.arrow.type]: { schema: binary },
          },
        },
        ...problems,
      },
    });
    app.openapi(route, async (context) => {
      need(context, 'read');
      const asked = context.req.valid('query') as ListingRequest & { format?: keyof typeof formats };
      const format = wantedFormat(context, asked.format);
      const store = openStore(parts);
      if (format === 'json') {
        const page = await readPage(store, listing, asked);
        return context.json(page, 200, nextLink(context.req.url, page.next));
      }
      const { stream, next } = await streamPage(store, listing, asked, format);
      return context.body(Readable.toWeb(stream) as ReadableStream, 200, {
        'content-type': formats[format].type,
        ...attachment(name, format),
        ...nextLink(context.req.url, next),
      });
    });
  }
}

/** RFC 8288, relative to where it was asked. */
function nextLink(url: string, cursor: string | null): Record<string, string> {
  if (cursor === null) return {};
  const { searchParams, pathname } = new URL(url);
  searchParams.set('cursor', cursor);
  return { link: `<${pathname}?${searchParams.toString()}>; rel="next"` };
}

export type { Listing };
