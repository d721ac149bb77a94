/** Databases as earlier releases left them, with rows in every table, brought forward. */
import { hash } from 'node:crypto';
import { type Database, type Row, type Value, migrate, openDatabase } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { describe, expect, it, vi } from 'vitest';
import { coordinatorMigrations } from './migrations.ts';
import { Store } from './store.ts';
import { keptLog } from './testing/log.ts';

/**
 * SHA-256 of each step that a release brought, by component: what was applied somewhere never changes. A release adds
 * the steps that are new in it.
 */
const released: Readonly<Record<string, readonly string[]>> = {
  log: ['79e89b284aaceaeeceeee21736f9e9c1d39d162b4da872e916be4f85161408c1'],
  notice: ['6609cd7ceb73d21a78adc94d69cfdca4b4edf5a7cac67417fcdbfcd81901eede'],
  approval: ['bddadc6345df99b94e121577bfdf1435eefa60b231ea7bca79a37d8f13d52577'],
  distrust: ['84013de2b4a87257de5ad4132a67e2abb061ad12aa4e0099ef2e33b64d004a36'],
  enrolment: ['faeecaf4be041f27ba124efec775f7d7d75519ba6cf5faf9828c2b6eb10d8c4d'],
  nonce: ['6201f1254bac0c9303ffe75dd718ad7258d2dd5b8f1ae5c4206b0f0115f28694'],
};

it.each(Object.entries(released))('released steps of %s read as they did', (component, steps) => {
  const now = coordinatorMigrations[component]!.map(({ sql }) => hash('sha256', sql, 'hex'));
  expect(now.slice(0, steps.length)).toEqual(steps);
});

/** Databases to start from: as released, and after each step of today's, one more at a time. */
function stages(): [what: string, steps: Readonly<Record<string, number>>][] {
  const all: [string, Record<string, number>][] = [];
  const steps: Record<string, number> = {};
  for (const [component, migrations] of Object.entries(coordinatorMigrations)) {
    for (const [at, { name }] of migrations.entries()) {
      steps[component] = at + 1;
      all.push([`${component} ${at + 1} (${name})`, { ...steps }]);
    }
  }
  const counts = Object.entries(released).map(([component, { length }]) => [component, length] as const);
  return [['the release before', Object.fromEntries(counts)], ...all];
}

vi.setConfig({ testTimeout: 90_000 });

describe.each(engines)('on %s', (engine) => {
  const databases = testDatabases(engine);

  it.each(stages())('a database of %s is brought forward with all its rows', async (_, steps) => {
    const config = await databases.config();
    const before = await openDatabase(config, Math.random);
    for (const [component, count] of Object.entries(steps)) {
      await migrate(before, component, coordinatorMigrations[component]!.slice(0, count), 1);
    }
    const tables = await tablesOf(before);
    for (const table of tables) await fill(before, table);
    const rows = await contents(before, tables);
    await before.close();

    const { store, failures } = await opened(config);
    expect(failures).toEqual([]);
    expect(await contents(store.database, tables)).toEqual(rows);
    expect((await tablesOf(store.database)).length).toBeGreaterThanOrEqual(tables.length);
    await store.close();
  });

  it('a database of a later release is refused, and left as it is', async () => {
    const config = await databases.config();
    const first = await opened(config);
    await first.store.database.query(
      "insert into migration (component, number, name, sha256, applied_at) values ('log', 99, 'later', 'x', 1)",
    );
    await first.store.close();
    const { store, failures } = await opened(config);
    expect(failures).toMatchObject([
      { code: 'schema', message: 'migration log 99 (later) was made by a newer release' },
    ]);
    await store.close();
  });
});

/** As a coordinator does; once it is there, or has failed. */
async function opened(config: ConstructorParameters<typeof Store>[0]['config']) {
  const failures: unknown[] = [];
  const store = new Store({
    config,
    migrations: coordinatorMigrations,
    log: keptLog().log,
    now: () => 2,
    random: Math.random,
    fail: (error) => failures.push(error),
  });
  await vi.waitUntil(() => store.there || failures.length > 0, { timeout: 60_000, interval: 10 });
  return { store, failures };
}

async function tablesOf(database: Database): Promise<string[]> {
  const sql =
    database.engine === 'sqlite'
      ? "select name from sqlite_master where type = 'table'"
      : "select table_name as name from information_schema.tables where table_schema = 'public'";
  const found = await database.query<{ name: string }>(sql);
  return found.map(({ name }) => name).filter((name) => name !== 'migration');
}

/** Two rows where there may be two, with something in every column. */
async function fill(database: Database, table: string): Promise<void> {
  const columns = await database.query<{ name: string; type: string }>(
    database.engine === 'sqlite'
      ? `select name, type from pragma_table_info('${table}')`
      : `select column_name as name, data_type as type from information_schema.columns where table_name = '${table}'`,
  );
  const valueOf = (name: string, type: string, n: number): Value => {
    if (type === 'bytea') return Buffer.from(`${name} ${n}`);
    // Those that take certain values only.
    if (table === 'nonce_key' && name === 'id') return 1;
    if (table === 'certificate' && name === 'state') return n === 1 ? 'held' : 'cleared';
    return type === 'bigint' ? 1_000 + n : `${name} ${n}`;
  };
  for (const n of table === 'nonce_key' ? [1] : [1, 2]) {
    const values = columns.map(({ name, type }) => valueOf(name, type, n));
    const places = values.map((_, i) => `$${i + 1}`).join(', ');
    const names = columns.map(({ name }) => name).join(', ');
    await database.query(`insert into ${table} (${names}) values (${places})`, values);
  }
}

/** Of the columns that are there, every row, in one order. */
async function contents(database: Database, tables: readonly string[]): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const table of tables) {
    const rows: Row[] = await database.query(`select * from ${table}`);
    all[table] = rows.map(plain).toSorted();
  }
  return all;
}

const plain = (row: Row): string =>
  JSON.stringify(
    Object.entries(row)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [
        name,
        value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
      ]),
  );
