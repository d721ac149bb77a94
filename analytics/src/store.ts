import { createHash } from 'node:crypto';
import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Logger } from '@mecai/runtime';
import type { ChdbConnection } from 'chdb/connection';
import type { StoreConfig } from './config.ts';
import { AnalyticsError } from './error.ts';
import { Lease, type LeaseOptions } from './lease.ts';
import { migrate, retain } from './migrate.ts';
import { observationColumns } from './observation-columns.ts';
import type { PackedObservations } from './packed-observations.ts';
import {
  type AlertRow,
  type CertificateRow,
  type EvidenceRow,
  type IncidentEvidenceRow,
  type IncidentRow,
  type RecordEvent,
  type VerdictRow,
  type VoucherRow,
  eventTables,
} from './rows.ts';
import { recount } from './rates.ts';
import { type Cluster, rendered } from './schema/cluster.ts';
import { leaseTable } from './schema/lease.ts';
import { type Connected, absent, connect } from './store-connection.ts';
import { Turns } from './turns.ts';

export interface StoreOptions {
  readonly store: StoreConfig;
  readonly retentionDays: number;
  readonly ratesRetentionDays?: number;
  /** Milliseconds an insert may take before the store gives it up. */
  readonly insertMs: number;
  /** By which several processes take turns on a server; absent: nobody else writes. */
  readonly lease?: Omit<LeaseOptions, 'ms'>;
}

type InsertSettings = Readonly<Record<string, string | number>>;
/** Rows of the tables that do not have one row for each message. */
interface OtherRows {
  readonly certificates: CertificateRow;
  readonly vouchers: VoucherRow;
  readonly evidence: EvidenceRow;
  readonly verdicts: VerdictRow;
  readonly incidents: IncidentRow;
  readonly incident_evidence: IncidentEvidenceRow;
  readonly alerts: AlertRow;
}
type Table = RecordEvent['table'] | keyof OtherRows;
type RowOf<T extends Table> = T extends keyof OtherRows
  ? OtherRows[T]
  : Extract<RecordEvent, { table: T }>['row'];

/** ClickHouse, inside this process or at a URL: the same client, the same SQL. */
export class Store {
  readonly #client: ClickHouseClient;
  readonly #insertMs: number;
  readonly #turns = new Turns();
  readonly #cluster: Cluster | undefined;
  readonly #embedded: ChdbConnection | undefined;
  readonly #directory: string | undefined;
  readonly #lease: Lease | undefined;
  /** Types of the columns of each table on a server. */
  #types: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map();

  private constructor({ client, embedded }: Connected, { store, insertMs, lease }: StoreOptions) {
    this.#client = client;
    this.#embedded = embedded;
    this.#insertMs = insertMs;
    this.#cluster = store.kind === 'server' ? store.cluster : undefined;
    this.#directory = store.kind === 'embedded' ? store.directory : undefined;
    if (lease && store.kind === 'server')
      this.#lease = new Lease({ ...lease, ms: store.leaseMs }, this, this.#cluster);
  }

  /**
   * Opens the store and brings its schema up to date.
   *
   * @throws AnalyticsError `store-absent`; `store-held`; `newer-schema`
   */
  static async open(options: StoreOptions, log: Logger): Promise<Store> {
    const store = new Store(await connect(options.store), options);
    try {
      await store.makeTable('leases', leaseTable);
      await store.#lease?.take();
      await migrate(store, log);
      if (!store.#embedded) store.#types = await store.#columnTypes();
      for (const table of [...eventTables, 'evidence', 'verdicts']) {
        await retain(store, table, 'received_at', options.retentionDays);
      }
      await retain(store, 'rates_by_minute', 'minute', options.ratesRetentionDays ?? 0);
      await retain(store, 'rates_by_hour', 'hour', options.ratesRetentionDays ?? 0);
      const hours = await recount(store);
      if (hours > 0) log.warn({ hours }, 'rates counted anew');
      return store;
    } catch (error) {
      await store.close();
      throw error instanceof AnalyticsError ? error : absent(error);
    }
  }

  /** Rows of a query whose values are bound, never part of the text. */
  query<T>(query: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<T[]> {
    return this.#ask(async () => {
      const result = await this.#client.query({
        query,
        query_params: parameters,
        format: 'JSONEachRow',
        clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
      });
      return result.json<T>();
    });
  }

  /** The result of a query as the engine writes it; `query` names the format. */
  stream(query: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<Readable> {
    return this.#ask(async () => (await this.#client.exec({ query, query_params: parameters })).stream);
  }

  /** A statement without rows to give back. */
  command(query: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<void> {
    return this.#ask(async () => void (await this.#client.command({ query, query_params: parameters })));
  }

  /** Makes a table that is not there; on a cluster to make it again would wait for a node that is lost. */
  async makeTable(name: string, statement: string): Promise<void> {
    const there = await this.query(
      'SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = {name:String}',
      { name },
    );
    if (there.length === 0) await this.change(statement);
  }

  /** A statement of the schema, run on the whole cluster. */
  change(statement: string): Promise<void> {
    return this.command(rendered(statement, this.#cluster));
  }

  /**
   * Stores rows, all of them or (after a crash, or over a change of month) some. When the outcome is unknown the
   * same rows in the same order can be inserted again: the store knows them by their token.
   *
   * @param keys what tells the rows apart
   */
  insert<T extends Table>(
    table: T,
    rows: readonly NoInfer<RowOf<T>>[],
    keys: readonly string[],
  ): Promise<void> {
    if (rows.length === 0) return Promise.resolve();
    const settings = this.#insertSettings(createHash('sha256').update(keys.join()).digest('hex'));
    type Column = keyof RowOf<T> & string;
    const columns = Object.keys(rows[0]!) as [Column, ...Column[]];
    const values = rows.map((row) => columns.map((column) => row[column]));
    const format = 'JSONCompactEachRow';
    const text = Buffer.from(values.map((row) => JSON.stringify(row)).join('\n'));
    return this.#inTurn(async () => {
      // As octets, which the engine takes without a copy.
      if (this.#embedded)
        await this.#embedded.chdb.rawInsert({ table, columns, values: text, format, settings });
      else await this.#send(table, columns, text, { format, settings });
    });
  }

  /** To a server: rows, the conditions they go in under, and nothing when the lease is another's. */
  async #send(
    table: string,
    columns: readonly string[],
    body: Buffer,
    { format, settings, where = [] }: { format: string; settings: InsertSettings; where?: readonly string[] },
  ): Promise<void> {
    const list = columns.map((column) => `\`${column}\``).join();
    const conditions = [...(this.#lease ? [this.#lease.guard] : []), ...where];
    const types = this.#types.get(table);
    const structure = columns.map((column) => `\`${column}\` ${types?.get(column)}`).join();
    const source =
      conditions.length > 0
        ? `SELECT ${list} FROM input(${quoted(structure)}) WHERE ${conditions.join(' AND ')} `
        : '';
    try {
      const { stream } = await this.#client.exec({
        query: `INSERT INTO ${table} (${list}) ${source}FORMAT ${format}`,
        values: Readable.from([body], { objectMode: false }),
        clickhouse_settings: settings,
      });
      await finished(stream.resume());
    } catch (error) {
      this.#lease?.noticed(error);
      throw error;
    }
  }

  async #columnTypes(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const columns = await this.query<{ table: string; name: string; type: string }>(
      'SELECT table, name, type FROM system.columns WHERE database = currentDatabase()',
    );
    const tables = Map.groupBy(columns, ({ table }) => table);
    return new Map(
      [...tables].map(([table, ofTable]) => [table, new Map(ofTable.map(({ name, type }) => [name, type]))]),
    );
  }

  /** In the engine's own format, since there are so many. Of those in doubt the engine leaves out what it has. */
  insertPacked(packed: PackedObservations): Promise<void> {
    if (packed.rows === 0) return Promise.resolve();
    const block = packed.octets();
    // What the views make of a block has each key once already.
    const settings = { ...this.#insertSettings(packed.token), optimize_on_insert: 0 };
    // A row stored by another copy of its message was received later.
    const where = packed.doubtful
      ? [
          `id NOT IN (SELECT id FROM observations
            WHERE received_at >= fromUnixTimestamp64Milli(${packed.oldest}, 'UTC'))`,
        ]
      : [];
    return this.#inTurn(async () => {
      if (this.#directory === undefined) {
        await this.#send('observations', observationColumns, block, { format: 'Native', settings, where });
        return;
      }
      // The embedded engine takes text only from memory; a file that is gone again soon is never written to the disk.
      const file = join(this.#directory, 'insert.native');
      await writeFile(file, block);
      const assignments = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`);
      const named = `SETTINGS ${assignments.join()}`;
      const list = observationColumns.join();
      const insert = `INSERT INTO observations (${list})`;
      const query = packed.doubtful
        ? `${insert} SELECT ${list} FROM file(${quoted(file)}, Native) WHERE ${where.join(' AND ')} ${named}`
        : `${insert} FROM INFILE ${quoted(file)} ${named} FORMAT Native`;
      try {
        await this.#client.command({ query });
      } finally {
        await unlink(file);
      }
    });
  }

  /** Named with each insert: a setting of the embedded session lasts until the next. */
  #insertSettings(token: string): InsertSettings {
    return {
      insert_deduplication_token: token,
      insert_deduplicate: 1,
      async_insert: 0,
      max_execution_time: Math.ceil(this.#insertMs / 1000),
    };
  }

  /** Leaves the store to others at once; nothing is written any more. */
  async release(): Promise<void> {
    await this.#turns.over();
    await this.#lease?.release();
  }

  async close(): Promise<void> {
    this.#lease?.stop();
    await this.#turns.over();
    await this.#client.close();
  }

  /** Inserts take turns, and with the embedded engine, which has one session, everything does. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    return this.#turns.take(async () => {
      try {
        return await action();
      } catch (error) {
        // What had been put out already would come before the result of the next query (chdb 3.4).
        await this.#embedded?.chdb.queryAsync('SELECT 1').catch(() => undefined);
        throw error;
      }
    });
  }

  #ask<T>(action: () => Promise<T>): Promise<T> {
    return this.#embedded ? this.#inTurn(action) : action();
  }
}

const quoted = (text: string) => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
