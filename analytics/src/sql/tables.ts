import type { Store } from '../store.ts';

/** Tables that queries of users may read, all but the columns named. */
export const readableTables: Readonly<Record<string, readonly string[]>> = {
  observations: [],
  certificates: [],
  evidence: [],
  verdicts: [],
  // Whose certificate it is, is no secret; who asked from where is.
  decisions: ['requester'],
  vouchers: [],
  mismatches: [],
  client_reports: [],
  client_statistics: [],
  incidents: [],
  incident_evidence: [],
  alerts: [],
  campaigns: [],
  campaign_targets: [],
  rates_by_minute: [],
  rates_by_hour: [],
  fingerprints: [],
  endpoint_certificates: [],
  endpoint_vantage: [],
  endpoints: [],
};

export interface Table {
  readonly name: string;
  readonly engine: string;
  readonly partitionKey: string;
  readonly sortingKey: string;
  readonly primaryKey: string;
  readonly path: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}

/** Where the embedded engine keeps the readable tables, and how they look. */
export async function findTables(store: Store): Promise<Table[]> {
  const found = await store.query<Omit<Table, 'columns'>>(
    `SELECT name, engine_full AS engine, partition_key AS partitionKey, sorting_key AS sortingKey,
      primary_key AS primaryKey, data_paths[1] AS path
    FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)} ORDER BY name`,
    { names: Object.keys(readableTables) },
  );
  const columns = await store.query<{ table: string; name: string; type: string; comment: string }>(
    `SELECT table, name, type, comment FROM system.columns
    WHERE database = currentDatabase() AND default_kind NOT IN ('EPHEMERAL', 'ALIAS') ORDER BY table, position`,
  );
  return found.map((table) => ({
    ...table,
    columns: columns.filter(
      (column) => column.table === table.name && !readableTables[table.name]!.includes(column.name),
    ),
  }));
}

/**
 * The same data for a second engine, which can only read it: parts that the first one adds appear within a
 * second. Parts that were merged away stay on disk for eight minutes, longer than any query.
 */
export function readOnlyTable({
  name,
  engine,
  partitionKey,
  sortingKey,
  primaryKey,
  path,
  columns,
}: Table): string {
  const kind = /^\w+(\([^)]*\))?/.exec(engine)![0];
  const list = columns.map(
    (column) => `${quoted(column.name)} ${column.type} COMMENT ${text(column.comment)}`,
  );
  return `CREATE TABLE default.${quoted(name)} (${list.join(', ')}) ENGINE = ${kind}
    ${partitionKey === '' ? '' : `PARTITION BY ${partitionKey}`}
    PRIMARY KEY (${primaryKey}) ORDER BY (${sortingKey})
    SETTINGS table_disk = 1, refresh_parts_interval = 1, disk = disk(type = object_storage,
      object_storage_type = local_blob_storage, metadata_type = plain, readonly = 1, path = ${text(path)})`;
}

const quoted = (name: string) => `\`${name.replaceAll('`', '``')}\``;
const text = (value: string) => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
