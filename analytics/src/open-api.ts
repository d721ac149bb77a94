import { randomBytes } from 'node:crypto';
import { type AdminServer, type Logger, type Settings, readText } from '@mecai/runtime';
import type { Readable } from 'node:stream';
import { startApi } from './api/server.ts';
import { Tokens } from './api/tokens.ts';
import { CampaignBook } from './campaigns/book.ts';
import type { AnalyticsConfig } from './config.ts';
import { dashboardDirectory } from './dashboard.ts';
import { AnalyticsError } from './error.ts';
import type { Perspectives } from './perspectives.ts';
import { Sandbox } from './sql/sandbox.ts';
import type { SqlReader } from './sql/reader.ts';
import { ServerReader } from './sql/server-reader.ts';
import type { Store } from './store.ts';

interface Parts {
  readonly store: () => Store | undefined;
  readonly perspectives: Perspectives;
  readonly now: () => number;
  readonly log: Logger;
}

/**
 * API and dashboard as the configuration has them; undefined: not served.
 *
 * @throws RuntimeError when tokens, password or CA cannot be read
 */
export async function openApi(
  settings: Pick<Settings<AnalyticsConfig>, 'current'>,
  parts: Parts,
): Promise<AdminServer | undefined> {
  const config = settings.current;
  if (!config.api) return undefined;
  const { listen, tokens } = config.api;
  const sql = openReader(config, config.api, parts);
  const server = await startApi(listen, {
    ...parts,
    sql,
    tokens: new Tokens(tokens, parts.log),
    limits: () => settings.current.api ?? { anonymousRead: false, requestsPerMinute: 1 },
    campaigns: new CampaignBook({ now: parts.now, newId: () => randomBytes(16).toString('hex') }),
    dashboard: dashboardDirectory(),
  });
  return {
    url: server.url,
    async close() {
      await server.close();
      await sql.close();
    },
  };
}

function openReader(
  { store }: AnalyticsConfig,
  { sql }: NonNullable<AnalyticsConfig['api']>,
  { store: open, log }: Parts,
): SqlReader {
  if (store.kind === 'embedded') return new Sandbox(open, sql, log);
  if (sql.user === undefined) return noReader;
  const { url, ca, database } = store;
  const password = sql.passwordFile === undefined ? '' : readText(sql.passwordFile);
  return new ServerReader({ url, ca, database, user: sql.user, password }, sql);
}

const noReader: SqlReader = {
  run: (): Promise<Readable> =>
    Promise.reject(new AnalyticsError('query-refused', 'no user for queries is configured on this server')),
  close: () => Promise.resolve(),
};
