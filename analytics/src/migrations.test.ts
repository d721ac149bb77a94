/** Tables as earlier releases left them, with rows in each, brought forward. */
import { hash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouseClient, type ClickHouseClientConfigOptions, createClient } from '@clickhouse/client';
import { createLogger } from '@mecai/runtime';
import { createChdbConnection } from 'chdb/connection';
import { afterAll, expect, it } from 'vitest';
import { migrationTable, migrations } from './migrations.ts';
import { rendered } from './schema/cluster.ts';
import { Store } from './store.ts';

/** SHA-256 of each step that a release brought: what was applied somewhere never changes. */
const released = [
  '7b7e81d87f720da877a46c533df015be0677655bb51af9597f48e9c50c0885c0',
  '396ea47393e818c5d866f45d2fc28d50a1804c7b7060f913183a7bb4a798f0a2',
  '333eb583b5032b6efe8269f26a9e0cfca1412c73060b84421da020d7a893b34c',
  '11fec582ae81e648a43dd269eec8519a0ec290e41cbf7baa1a41f48870406fdd',
  'ba0ce366b9f725ef46ae32adf64a592342b091c3c574e64627b569409cf413e3',
  'c06028af3f2a35c46441354a8f7736fe4c9e0c575c455258093eebe14febfe40',
  '7ff2efd43a9cc5d7860e08a1897b5668122d067f397f8572ed10c1f1ec745ba1',
];
const checksum = (statements: readonly string[]) => hash('sha256', statements.join(';\n'), 'hex');
const root = mkdtempSync(join(tmpdir(), 'mecai-migrations-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('released steps read as they did', () => {
  expect(migrations.slice(0, released.length).map(({ statements }) => checksum(statements))).toEqual(
    released,
  );
});

// From before the views that count what is stored, from before campaigns, and from the release before.
const stages = [migrations[1]!, migrations[4]!, migrations[released.length - 1]!];

it.each(stages.map(({ number, name }) => [number, name] as const))(
  'tables of step %i (%s) are brought forward with all their rows',
  async (number) => {
    const directory = join(root, `step-${number}`);
    const client = connect(directory);
    await client.command({ query: rendered(migrationTable, undefined) });
    for (const { number: step, name, statements } of migrations.slice(0, number)) {
      for (const query of statements) await client.command({ query: rendered(query, undefined) });
      await client.command({ query: `INSERT INTO migrations (number, name) VALUES (${step}, '${name}')` });
    }
    const query = async <T>(text: string): Promise<T[]> =>
      (await client.query({ query: text, format: 'JSONEachRow' })).json<T>();
    const tables = await columnsOf(query);
    expect(tables.size).toBeGreaterThan(3);
    for (const [table, columns] of tables) {
      const structure = columns
        .map(({ name, type }) => `${name} ${type}`)
        .join(', ')
        .replaceAll("'", "\\'");
      const names = columns.map(({ name }) => name).join(', ');
      await client.command({
        query: `INSERT INTO ${table} (${names}) SELECT ${names} FROM generateRandom('${structure}', 7, 8, 2) LIMIT 20`,
      });
    }
    const before = await digests(query, tables);
    await client.close();

    const store = await Store.open(
      { store: { kind: 'embedded', directory }, retentionDays: 0, insertMs: 10_000 },
      createLogger('store', 'silent'),
    );
    expect(await digests((text) => store.query(text), tables)).toEqual(before);
    const [last] = await store.query<{ last: number }>('SELECT max(number) AS last FROM migrations');
    expect(last!.last).toBe(migrations.length);
    await store.close();
  },
  120_000,
);

function connect(path: string): ClickHouseClient {
  // Its types are declared apart from the same ones of this client.
  const connection = createChdbConnection({ path }) as unknown as NonNullable<
    ClickHouseClientConfigOptions['connection']
  >;
  return createClient({ connection });
}

type Query = <T>(text: string) => Promise<T[]>;
type Tables = ReadonlyMap<string, readonly { readonly name: string; readonly type: string }[]>;

/** Of the tables that hold what was stored; not those that are counted from them. */
async function columnsOf(query: Query): Promise<Tables> {
  const found = await query<{ table: string; name: string; type: string }>(`
    SELECT table, name, type FROM system.columns
    WHERE database = currentDatabase() AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL')
      -- parts of nested columns stay empty
      AND position(name, '.') = 0
      AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
        AND engine NOT LIKE '%Aggregating%' AND engine NOT LIKE '%Summing%')
      AND table != 'migrations' AND NOT startsWith(table, 'rates_')
    ORDER BY table, position`);
  return Map.groupBy(found, ({ table }) => table);
}

/** How many rows, and what is in them, by table. */
async function digests(query: Query, tables: Tables): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const [table, columns] of tables) {
    const names = columns.map(({ name }) => `toString(${name})`).join(', ');
    [all[table]] = await query(
      `SELECT count() AS rows, groupBitXor(cityHash64(${names})) AS digest FROM ${table}`,
    );
  }
  return all;
}
