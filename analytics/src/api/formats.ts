import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';

/** Formats of results, as ClickHouse calls them and as HTTP does. */
export const formats = {
  json: { engine: 'JSONEachRow', type: 'application/json' },
  csv: { engine: 'CSVWithNames', type: 'text/csv; charset=utf-8' },
  parquet: { engine: 'Parquet', type: 'application/vnd.apache.parquet' },
  arrow: { engine: 'Arrow', type: 'application/vnd.apache.arrow.file' },
} as const;

export type Format = keyof typeof formats;

export const formatSchema = z.enum(['json', 'csv', 'parquet', 'arrow']);

/** `format` in the URL goes before the header. */
export function wantedFormat(context: Context, asked: Format | undefined): Format {
  if (asked) return asked;
  const accept = context.req.header('accept') ?? '';
  const found = Object.entries(formats).find(([, { type }]) => accept.includes(type.split(';')[0]!));
  return (found?.[0] as Format | undefined) ?? 'json';
}

/** How times and large numbers are written in every format. */
export const outputClause = `SETTINGS date_time_output_format = 'iso', output_format_json_quote_64bit_integers = 0,
  output_format_arrow_compression_method = 'none', output_format_parquet_string_as_string = 1`;

/** Members of lists of rows that come from a spreadsheet are data: a formula stays text (CWE-1236). */
export const attachment = (name: string, format: Format): Record<string, string> =>
  format === 'json' ? {} : { 'content-disposition': `attachment; filename="${name}.${format}"` };
