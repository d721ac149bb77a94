import { z } from '@hono/zod-openapi';

/** How a column is read, shown and described. */
export type Kind =
  | 'text'
  | 'texts'
  | 'integer'
  | 'integers'
  | 'number'
  | 'boolean'
  | 'time'
  | 'time?'
  | 'integer?'
  | 'address'
  | 'addresses';

export interface Column {
  readonly kind: Kind;
  /** Expression, where it is not the column of that name. */
  readonly sql?: string;
}

/** A list such as `'agent country:text port:integer'`; text where nothing is said. */
export function columns(
  list: string,
  expressions: Readonly<Record<string, string>> = {},
): Record<string, Column> {
  const entries = list
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [name = '', kind = 'text'] = word.split(':');
      const sql = expressions[name];
      return [name, { kind: kind as Kind, ...(sql !== undefined && { sql }) }] as const;
    });
  return Object.fromEntries(entries);
}

const plainAddress = (sql: string) => `replaceRegexpOne(toString(${sql}), '^::ffff:', '')`;

/** What stands after SELECT. IPv4 addresses are written as people do. */
export function selection(list: Readonly<Record<string, Column>>): string {
  return Object.entries(list)
    .map(([name, { kind, sql = `t.${name}` }]) => {
      if (kind === 'address') return `${plainAddress(sql)} AS ${quoted(name)}`;
      if (kind === 'addresses') return `arrayMap(one -> ${plainAddress('one')}, ${sql}) AS ${quoted(name)}`;
      return `${sql} AS ${quoted(name)}`;
    })
    .join(', ');
}

const quoted = (name: string) => `\`${name}\``;

const schemas: Readonly<Record<Kind, z.ZodType>> = {
  text: z.string(),
  texts: z.array(z.string()),
  integer: z.int(),
  integers: z.array(z.int()),
  'integer?': z.int().nullable(),
  number: z.number(),
  boolean: z.boolean(),
  time: z.iso.datetime(),
  'time?': z.iso.datetime().nullable(),
  address: z.string(),
  addresses: z.array(z.string()),
};

export const rowSchema = (list: Readonly<Record<string, Column>>) =>
  z.object(Object.fromEntries(Object.entries(list).map(([name, { kind }]) => [name, schemas[kind]])));
