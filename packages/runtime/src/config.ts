import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import * as z from 'zod';
import { describeIssues } from './config-issues.ts';
import { RuntimeError } from './error.ts';

/** A path in a configuration file; relative ones are taken from the file's directory. */
export const path = () => z.string().min(1).meta({ kind: 'path' });
/** `host:port`. */
export const hostPort = () => z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'expected host:port');

/**
 * Reads a process's configuration once: a JSON file, then the environment over it, then strictly typed.
 * `MECAI_A__B_C=x` sets `a.bC`; values are JSON where they parse as such, else text.
 *
 * @throws RuntimeError `unreadable-file`; `bad-configuration` naming file, member, line and what was expected
 */
export function loadConfig<Schema extends z.ZodObject>(
  schema: Schema,
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): z.output<Schema> {
  const text = readText(file);
  const raw = parseJson(text, file);
  for (const [name, value] of Object.entries(environment)) {
    if (name.startsWith('MECAI_') && value !== undefined) override(raw, name, value);
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success) {
    throw new RuntimeError('bad-configuration', describeIssues(parsed.error.issues, { file, text }));
  }
  return absolutePaths(schema, parsed.data, dirname(resolve(file))) as z.output<Schema>;
}

/** Text of a small file such as a PIN or a key; the trailing line end is cut off. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw new RuntimeError('unreadable-file', `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

function parseJson(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
    throw new TypeError('expected an object');
  } catch (cause) {
    throw new RuntimeError('bad-configuration', `${file}: ${(cause as Error).message}`, { cause });
  }
}

function override(root: Record<string, unknown>, name: string, value: string): void {
  const keys = name
    .slice('MECAI_'.length)
    .split('__')
    .map((part) => part.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()));
  let at = root;
  for (const key of keys.slice(0, -1)) {
    const next = at[key];
    at = at[key] = typeof next === 'object' && next !== null ? { ...next } : {};
  }
  at[keys.at(-1)!] = jsonOrText(value);
}

function jsonOrText(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function absolutePaths(schema: unknown, value: unknown, base: string): unknown {
  if (value === undefined) return value;
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable
  ) {
    return absolutePaths(schema.unwrap(), value, base);
  }
  if (schema instanceof z.ZodObject) {
    const shape = schema.shape as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(value as object).map(([key, member]) => [key, absolutePaths(shape[key], member, base)]),
    );
  }
  if (schema instanceof z.ZodUnion) {
    const member = schema.options.find((option) => (option as z.ZodType).safeParse(value).success);
    return absolutePaths(member, value, base);
  }
  if (schema instanceof z.ZodArray) {
    return (value as unknown[]).map((member) => absolutePaths(schema.element, member, base));
  }
  if (schema instanceof z.ZodString && schema.meta()?.['kind'] === 'path') {
    const text = value as string;
    return isAbsolute(text) ? text : resolve(base, text);
  }
  return value;
}
