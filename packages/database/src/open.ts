import { path, readText } from '@mecai/runtime';
import * as z from 'zod';
import type { Database } from './database.ts';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';

/** Member of a process's configuration. */
export const databaseConfig = () =>
  z.discriminatedUnion('engine', [
    z.strictObject({
      engine: z.literal('sqlite'),
      /** Made if absent; for the processes of one machine. */
      file: path(),
    }),
    z.strictObject({
      engine: z.literal('postgres'),
      /** `postgres://user@host:port/database`, parameters as in libpq. */
      url: z
        .string()
        .refine(isPostgresUrl, 'expected postgres://user@host:port/database, without a password'),
      /** The password, in a file of its own. */
      passwordFile: path().optional(),
      /** At most, of this process. */
      connections: z.number().int().min(1).max(1_000).default(10),
    }),
  ]);

export type DatabaseConfig = z.output<ReturnType<typeof databaseConfig>>;

function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, password, searchParams } = new URL(text);
  return /^postgres(ql)?:$/.test(protocol) && password === '' && !searchParams.has('password');
}

/**
 * @param random from 0 to 1: how long to wait after a collision
 * @throws DatabaseError; RuntimeError for a password file that cannot be read
 */
export function openDatabase(config: DatabaseConfig, random: () => number): Promise<Database> {
  if (config.engine === 'sqlite') return openSqlite(config.file, random);
  const { url, passwordFile, connections } = config;
  const password = passwordFile === undefined ? {} : { password: readText(passwordFile) };
  return openPostgres({ url, connections, ...password }, random);
}
