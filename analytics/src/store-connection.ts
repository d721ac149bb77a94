import {
  type ClickHouseClient,
  type ClickHouseClientConfigOptions,
  ClickHouseLogLevel,
  createClient,
} from '@clickhouse/client';
import { readText } from '@mecai/runtime';
import { type ChdbConnection, createChdbConnection } from 'chdb/connection';
import type { StoreConfig } from './config.ts';
import { AnalyticsError } from './error.ts';
import { rendered } from './schema/cluster.ts';
import { distrust, trustIn } from './store-trust.ts';

type Connection = NonNullable<ClickHouseClientConfigOptions['connection']>;

// Failures are thrown, and logged where they are caught.
const log = { level: ClickHouseLogLevel.OFF };

/** A client, and the engine behind it when that is in this process. */
export interface Connected {
  readonly client: ClickHouseClient;
  readonly embedded?: ChdbConnection;
}

/**
 * To a directory, or to a server, where the database is created if absent.
 *
 * @throws AnalyticsError `store-absent`; `store-held`; RuntimeError for a file that cannot be read
 */
export async function connect(config: StoreConfig): Promise<Connected> {
  if (config.kind === 'embedded') {
    try {
      const embedded = createChdbConnection({ path: config.directory });
      // Its types are those of @clickhouse/client-common, declared apart from the same ones of this client.
      const connection = embedded as unknown as Connection;
      return { client: createClient({ connection, log }), embedded };
    } catch (cause) {
      throw new AnalyticsError(
        'store-held',
        `cannot open ${config.directory}: in use by another process, or not writable (${reason(cause)})`,
        { cause },
      );
    }
  }
  const { url, user, passwordFile, ca, database, cluster } = config;
  const login = {
    url,
    username: user,
    request_timeout: 30_000,
    log,
    ...(passwordFile !== undefined && { password: readText(passwordFile) }),
  };
  // With an agent of its own, since a client that is closed closes its agent.
  const bootstrap = createClient({ ...login, ...trustIn(ca) });
  try {
    const found = await bootstrap.query({
      query: 'SELECT name FROM system.databases WHERE name = {database:String}',
      query_params: { database },
      format: 'JSONEachRow',
    });
    // Made only once: on a cluster it would wait for a node that is lost.
    if ((await found.json()).length === 0) {
      await bootstrap.command({
        query: rendered('CREATE DATABASE IF NOT EXISTS {database:Identifier} @cluster', cluster),
        query_params: { database },
      });
    }
  } catch (error) {
    throw absent(error, distrust(error, config));
  } finally {
    await bootstrap.close();
  }
  return { client: createClient({ ...login, ...trustIn(ca), database }) };
}

export const absent = (cause: unknown, message = reason(cause)) =>
  new AnalyticsError('store-absent', message, { cause });

/** Some errors of the HTTP client have a code and no message. */
const reason = (cause: unknown) => (cause instanceof Error ? cause.message || cause.name : 'unknown');
