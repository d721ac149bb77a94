import { z } from '@hono/zod-openapi';
import type { Store } from '../store.ts';
import { type Column, type Kind, selection } from './columns.ts';
import { type Format, formats, outputClause } from './formats.ts';
import { Problem } from './problem.ts';

export interface Filter {
  readonly kind: 'text' | 'integer' | 'boolean' | 'time';
  /** Condition with `{value:Type}` in the place of the value. */
  readonly sql: string;
  readonly description: string;
}

/** A list of rows, newest first, read page by page. */
export interface Listing {
  /** Last part of the URL, and name of the file when downloaded. */
  readonly name: string;
  readonly summary: string;
  /** What stands after FROM, `AS t` included. */
  readonly from: string;
  readonly columns: Readonly<Record<string, Column>>;
  /** Column of the time by which rows are sorted, and one that tells rows of the same time apart. */
  readonly time: string;
  readonly id: string;
  /** Whether the table is sorted by the hour of that time, so that a page need not read all of it. */
  readonly byHour?: boolean;
  readonly filters: Readonly<Record<string, Filter>>;
}

/** Rows a page: of JSON, and of formats that are streamed. */
export const pageRows = { json: 1000, other: 1_000_000 };

/** Milliseconds since 1970 and id of the last row of a page. */
const cursorSchema = z.tuple([z.int().min(0), z.string().max(200)]);

const encodeCursor = (time: number, id: string): string =>
  Buffer.from(JSON.stringify([time, id])).toString('base64url');

function decodeCursor(text: string): readonly [number, string] {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch {
    throw new Problem('bad-parameter', 'cursor: not one of ours');
  }
}

const values = {
  text: z.string().max(512),
  integer: z.coerce.number().int().min(0).max(0xffff_ffff),
  boolean: z.enum(['true', 'false']).transform((text) => text === 'true'),
  time: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
};

/** Parameters of a listing in the URL. */
export const listingQuery = ({ filters }: Listing) =>
  z.strictObject({
    ...Object.fromEntries(
      Object.entries(filters).map(([name, { kind, description }]) => [
        name,
        values[kind].optional().openapi({ description }),
      ]),
    ),
    limit: z.coerce.number().int().min(1).max(pageRows.other).optional(),
    cursor: z.string().max(400).optional(),
    format: z.enum(['json', 'csv', 'parquet', 'arrow']).optional(),
  });

export interface ListingRequest {
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
  readonly [filter: string]: unknown;
}

interface Statement {
  readonly where: string;
  readonly order: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly limit: number;
}

const millis = (column: string) => `toUnixTimestamp64Milli(toDateTime64(${column}, 3))`;
const fromMillis = (name: string) => `fromUnixTimestamp64Milli({${name}:Int64}, 'UTC')`;

function statementOf(listing: Listing, request: ListingRequest, format: Format): Statement {
  const [time, id] = [`t.${listing.time}`, `t.${listing.id}`];
  const conditions: string[] = [];
  const parameters: Record<string, unknown> = {};
  for (const [name, { kind, sql }] of Object.entries(listing.filters)) {
    if (request[name] === undefined) continue;
    conditions.push(sql.replaceAll('{value:', `{${name}:`));
    parameters[name] = kind === 'boolean' ? Number(request[name]) : request[name];
  }
  if (request.cursor !== undefined) {
    const [at, last] = decodeCursor(request.cursor);
    // The first condition is for the index, which the second is too intricate for.
    conditions.push(`${time} <= ${fromMillis('cursor_at')}`);
    conditions.push(`(${time} < ${fromMillis('cursor_at')} OR ${id} < {cursor_id:String})`);
    parameters['cursor_at'] = at;
    parameters['cursor_id'] = last;
  }
  const most = format === 'json' ? pageRows.json : pageRows.other;
  const hour = listing.byHour ? `toStartOfHour(${time}) DESC, ` : '';
  return {
    where: conditions.length === 0 ? '' : `WHERE ${conditions.map((one) => `(${one})`).join(' AND ')}`,
    order: `ORDER BY ${hour}${time} DESC, ${id} DESC`,
    parameters,
    limit: Math.min(request.limit ?? (format === 'json' ? 100 : 10_000), most),
  };
}

export interface PageOf {
  readonly items: Record<string, unknown>[];
  readonly next: string | null;
}

const hourMs = 3_600_000;
/** How far back is looked for a page's rows before it is looked everywhere, milliseconds. */
const windows = [hourMs, 24 * hourMs, 7 * 24 * hourMs];

/** A page of rows, and where the next one begins, if there is one. */
export async function readPage(store: Store, listing: Listing, request: ListingRequest): Promise<PageOf> {
  if (!listing.byHour || request['since'] !== undefined) return await readFrom(store, listing, request);
  // The engine does not stop by itself when a filter has found enough: most pages are in the last hours.
  const newest = await newestOf(store, listing, request);
  for (const back of windows) {
    const page = await readFrom(store, listing, { ...request, since: newest - back });
    if (page.next !== null) return page;
  }
  return await readFrom(store, listing, request);
}

/** The latest time that a row of the page can have, milliseconds since 1970. */
async function newestOf(store: Store, listing: Listing, { cursor, until }: ListingRequest): Promise<number> {
  const [row] = await store.query<{ at: number }>(
    `SELECT ${millis(`max(t.${listing.time})`)} AS at FROM ${listing.from}`,
  );
  const bounds = [row!.at, ...(typeof until === 'number' ? [until] : [])];
  return Math.min(...bounds, ...(cursor === undefined ? [] : [decodeCursor(cursor)[0]]));
}

async function readFrom(store: Store, listing: Listing, request: ListingRequest): Promise<PageOf> {
  const { where, order, parameters, limit } = statementOf(listing, request, 'json');
  const rows = await store.query<Record<string, unknown> & { _at: number; _id: string }>(
    `SELECT ${selection(listing.columns)}, ${millis(`t.${listing.time}`)} AS _at, toString(t.${listing.id}) AS _id
      FROM ${listing.from} ${where} ${order} LIMIT ${limit + 1} ${outputClause}`,
    parameters,
  );
  const more = rows.length > limit;
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const next = more && last ? encodeCursor(last._at, last._id) : null;
  return { items: items.map(({ _at, _id, ...row }) => row), next };
}

/** The same in another format, as the engine writes it. */
export async function streamPage(store: Store, listing: Listing, request: ListingRequest, format: Format) {
  const { where, order, parameters, limit } = statementOf(listing, request, format);
  const [last] = await store
    .query<{ at: number; id: string; more: number }>(
      `SELECT ${millis(`t.${listing.time}`)} AS at, toString(t.${listing.id}) AS id
      FROM ${listing.from} ${where} ${order} LIMIT 2 OFFSET ${limit - 1}`,
      parameters,
    )
    .then((rows) => (rows.length === 2 ? rows : []));
  const stream = await store.stream(
    `SELECT ${selection(listing.columns)} FROM ${listing.from} ${where} ${order} LIMIT ${limit} ${outputClause}
      FORMAT ${formats[format].engine}`,
    parameters,
  );
  return { stream, next: last ? encodeCursor(last.at, last.id) : null };
}

const types: Readonly<Record<'text' | 'integer' | 'boolean', string>> = {
  text: 'String',
  integer: 'UInt32',
  boolean: 'Bool',
};

/** Filters that compare one column with a value. */
export function equals(list: string): Record<string, Filter> {
  return Object.fromEntries(
    list
      .trim()
      .split(/\s+/)
      .map((word) => {
        const [name, kind = 'text'] = word.split(':') as [string, ('text' | 'integer' | 'boolean')?];
        return [
          name,
          { kind, sql: `t.${name} = {value:${types[kind]}}`, description: `Rows with this ${name}` },
        ];
      }),
  );
}

/** From a time on, and up to one. */
export const between = (column: string): Record<string, Filter> => ({
  since: {
    kind: 'time',
    sql: `t.${column} >= fromUnixTimestamp64Milli({value:Int64}, 'UTC')`,
    description: 'From this time on (RFC 3339)',
  },
  until: {
    kind: 'time',
    sql: `t.${column} < fromUnixTimestamp64Milli({value:Int64}, 'UTC')`,
    description: 'Before this time (RFC 3339)',
  },
});

export const address: Record<string, Filter> = {
  address: {
    kind: 'text',
    sql: 't.address = toIPv6OrDefault({value:String})',
    description: 'IPv4 or IPv6 address probed',
  },
};

export type { Kind };
