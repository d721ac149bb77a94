import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { AnalyticsError } from '../error.ts';
import { trustIn } from '../store-trust.ts';
import { type Catalogue, type Engine, checkQuery, readCatalogue } from './check.ts';
import { engineFault } from './faults.ts';
import { type SqlLimits, limitSettings, outputSettings } from './limits.ts';
import type { SqlReader } from './reader.ts';
import { readableTables } from './tables.ts';

export interface ServerReaderOptions {
  readonly url: string;
  /** File of the CA of its certificate; absent: any public CA. */
  readonly ca?: string | undefined;
  /** A user of its own, who may only read; docs/analytics.md has the SQL that makes one. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Queries of users against a ClickHouse server: checked as with the embedded engine, and run by a user of their own. */
export class ServerReader implements SqlReader {
  readonly #client: ClickHouseClient;
  readonly #database: string;
  #catalogue: Promise<Catalogue> | undefined;
  readonly #engine: Engine = {
    ask: async (query, parameters = {}) => {
      const result = await this.#client.query({ query, query_params: parameters, format: 'JSONEachRow' });
      return await result.json<Record<string, unknown>>();
    },
    // A FORMAT behind it would be one of the query that is explained.
    explain: async (query) => {
      const { stream } = await this.#client.exec({
        query,
        clickhouse_settings: { default_format: 'TabSeparated' },
      });
      return (await text(stream)).split('\n').filter((line) => line !== '');
    },
  };

  constructor({ url, ca, user, password, database }: ServerReaderOptions, limits: SqlLimits) {
    this.#database = database;
    this.#client = createClient({
      url,
      username: user,
      password,
      database,
      ...trustIn(ca),
      request_timeout: limits.seconds * 1000 + 5000,
      log: { level: ClickHouseLogLevel.OFF },
      // The profile of the user has the same and keeps them from being raised; these hold if it was forgotten.
      clickhouse_settings: { ...limitSettings(limits), ...outputSettings } as Record<string, string | number>,
    });
  }

  async run(query: string, format: string): Promise<Readable> {
    try {
      this.#catalogue ??= readCatalogue(
        this.#engine,
        Object.keys(readableTables).map((table) => `${this.#database}.${table}`),
      );
      this.#catalogue.catch(() => (this.#catalogue = undefined));
      const checked = await checkQuery(this.#engine, await this.#catalogue, query);
      const { stream } = await this.#client.exec({ query: `${checked} FORMAT ${format}` });
      return stream;
    } catch (error) {
      throw error instanceof AnalyticsError ? error : engineFault(error);
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
