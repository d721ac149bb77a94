import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import {
  type Database,
  DatabaseError,
  type Statements,
  databaseConfig,
  migrate,
  openDatabase,
} from './index.ts';
import { counter } from './testing/counter.ts';
import { engines, testDatabases } from './testing/index.ts';

const run = promisify(execFile);

describe.each(engines)('a database on %s', (engine) => {
  const databases = testDatabases(engine);
  const withCounter = async (config?: Parameters<typeof databases.open>[0]) => {
    const database = await databases.open(config);
    await migrate(database, 'counter', counter, 0);
    return database;
  };
  const valueOf = async (statements: Statements, id = 1) =>
    (await statements.query<{ value: number }>('select value from counter where id = $1', [id]))[0]?.value;
  const add = (database: Database, id: number, value: number) =>
    database.query('insert into counter (id, value) values ($1, $2)', [id, value]);

  it('gives values back as they were, parameters in any order', async () => {
    const database = await databases.open();
    await database.exclusive((statements) =>
      statements.script('create table kept (b bytea, n bigint, t text, z text)'),
    );
    const bytes = Uint8Array.from([0, 1, 255]);
    const text = 'ünïcode \u{1f512} 1e5';
    const [row] = await database.query(
      'insert into kept (t, n, b, z) values ($3, $2, $1, $4) returning b, n, t, z',
      [bytes, Number.MAX_SAFE_INTEGER, text, null],
    );
    expect({ ...row, b: Uint8Array.from(row!['b'] as Uint8Array) }).toEqual({
      b: bytes,
      n: Number.MAX_SAFE_INTEGER,
      t: text,
      z: null,
    });
    const [counts] = await database.query('select count(*) as rows, sum(n) as total from kept where b = $1', [
      bytes,
    ]);
    expect({ ...counts }).toEqual({ rows: 1, total: Number.MAX_SAFE_INTEGER });
  });

  it('does all of a transaction or nothing', async () => {
    const database = await withCounter();
    const failing = database.transaction(async (statements) => {
      await statements.query('update counter set value = 7');
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await valueOf(database)).toBe(0);
  });

  it('undoes only the transaction that failed, of several at the same time', async () => {
    const database = await withCounter();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        database.transaction(async (statements) => {
          await statements.query('insert into counter (id, value) values ($1, $2)', [i + 10, i]);
          // Every third comes twice.
          if (i % 3 === 0) {
            await statements.query('insert into counter (id, value) values ($1, $2)', [i + 10, i]);
          }
        }),
      ),
    );
    expect(outcomes.map(({ status }) => status === 'rejected')).toEqual(
      Array.from({ length: 30 }, (_, i) => i % 3 === 0),
    );
    const [row] = await database.query<{ rows: number }>(
      'select count(*) as rows from counter where id >= 10',
    );
    expect(row!.rows).toBe(20);
  });

  it('shows a reader nothing of a transaction that is not committed', async () => {
    const database = await withCounter();
    let seen: number | undefined;
    await database.transaction(async (statements) => {
      await statements.query('update counter set value = 1');
      seen = await valueOf(database);
    });
    expect([seen, await valueOf(database)]).toEqual([0, 1]);
  });

  it('loses no update of several processes that start at once, migrate and count', async () => {
    const config = await databases.config();
    const script = join(import.meta.dirname, 'testing/increments.ts');
    const args = ['--disable-warning=ExperimentalWarning', script, JSON.stringify(config), '30'];
    await Promise.all(Array.from({ length: 3 }, () => run(process.execPath, args)));
    expect(await valueOf(await databases.open(config))).toBe(90);
  });

  it('lets no two transactions act on what the other has just changed (write skew)', async () => {
    const config = await databases.config();
    const doctors = await Promise.all([withCounter(config), withCounter(config)]);
    await add(doctors[0], 2, 1);
    await add(doctors[0], 3, 1);
    // Each goes off duty if the other is on.
    await Promise.all(
      [2, 3].map((me, i) =>
        doctors[i]!.transaction(async (statements) => {
          if ((await valueOf(statements, 5 - me)) === 1) {
            await statements.query('update counter set value = 0 where id = $1', [me]);
          }
        }),
      ),
    );
    const onDuty = await Promise.all([2, 3].map((id) => valueOf(doctors[0], id)));
    expect(onDuty.filter((value) => value === 1)).toHaveLength(1);
  });

  it('lets one transaction with a lock after the other, and none is run twice', async () => {
    const config = await databases.config();
    const several = await Promise.all([withCounter(config), withCounter(config)]);
    let runs = 0;
    const lock = Uint8Array.of(1);
    const increment = (database: Database) =>
      database.transaction(async (statements) => {
        runs++;
        const value = await valueOf(statements);
        await statements.query('update counter set value = $1 where id = 1', [value! + 1]);
      }, lock);
    await Promise.all(Array.from({ length: 60 }, (_, i) => increment(several[i % 2]!)));
    expect([await valueOf(several[0]), runs]).toEqual([60, 60]);
  });

  it('calls what goes wrong by its name', async () => {
    const database = await withCounter();
    await expect(add(database, 1, 1)).rejects.toMatchObject({ code: 'constraint' });
    await expect(database.query('select nonsense from counter')).rejects.toMatchObject({ code: 'failed' });
    await expect(database.transaction((statements) => statements.query('selct'))).rejects.toMatchObject({
      code: 'failed',
    });
    expect(await valueOf(database)).toBe(0);
    await database.close();
    await expect(database.query('update counter set value = 1')).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  describe('migrations', () => {
    it('are applied once, the new ones later', async () => {
      const database = await databases.open();
      await migrate(database, 'counter', counter.slice(0, 1), 0);
      expect(await valueOf(database)).toBeUndefined();
      await migrate(database, 'counter', counter, 5);
      await migrate(database, 'counter', counter, 6);
      expect(await valueOf(database)).toBe(0);
      const applied = await database.query('select number, applied_at from migration order by number');
      expect(applied.map(({ applied_at: at }) => at)).toEqual([0, 5]);
    });

    it('are refused when one reads differently from what was applied', async () => {
      const database = await withCounter();
      const changed = [counter[0]!, { ...counter[1]!, sql: 'insert into counter (id, value) values (1, 1)' }];
      await expect(migrate(database, 'counter', changed, 0)).rejects.toMatchObject({ code: 'schema' });
    });

    it('are refused when a newer release has been here', async () => {
      const database = await withCounter();
      await expect(migrate(database, 'counter', counter.slice(0, 1), 0)).rejects.toMatchObject({
        code: 'schema',
      });
    });

    it('leave nothing behind when they fail half-way', async () => {
      const database = await databases.open();
      const broken = { name: 'broken', sql: 'create table half (id bigint); insert into nowhere values (1)' };
      await expect(migrate(database, 'counter', [counter[0]!, broken], 0)).rejects.toMatchObject({
        code: 'failed',
      });
      await expect(database.query('select id from half')).rejects.toMatchObject({ code: 'failed' });
      await migrate(database, 'counter', counter, 0);
      expect(await valueOf(database)).toBe(0);
    });
  });
});

describe('SQLite between processes', () => {
  const databases = testDatabases('sqlite');

  it('waits for another process that writes, and lets this one go on meanwhile', async () => {
    const config = await databases.config();
    const [one, other] = [await databases.open(config), await databases.open(config)];
    await migrate(one, 'counter', counter, 0);
    let letGo = () => undefined as void;
    const held = one.transaction(async (statements) => {
      await statements.query('update counter set value = 1');
      await new Promise<void>((resolve) => (letGo = resolve));
    });
    const waiting = other.query('update counter set value = value + 1 returning value');
    // A timer runs while `other` waits: SQLite's own waiting would stop it.
    await new Promise((resolve) => setTimeout(resolve, 30));
    letGo();
    await held;
    expect((await waiting)[0]).toEqual({ value: 2 });
  });

  it('refuses a file that is no database', async () => {
    const config = await databases.config();
    if (config.engine === 'sqlite') writeFileSync(config.file, 'not a database, by any means '.repeat(50));
    await expect(databases.open(config)).rejects.toMatchObject({ code: 'failed' });
  });
});

describe('Postgres', () => {
  const databases = testDatabases('postgres');

  it('is away and comes back', async () => {
    const database = await databases.open();
    await database.query('select 1');
    await databases.server!.kill();
    // The server's children notice a moment later.
    const gone = () =>
      database.query('select 1').then(
        () => false,
        (error: unknown) => error instanceof DatabaseError && error.code === 'unavailable',
      );
    await vi.waitUntil(gone, { timeout: 60_000, interval: 20 });
    await expect(database.transaction(async () => 1)).rejects.toMatchObject({ code: 'unavailable' });
    await databases.server!.restart();
    expect(await database.query('select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('refuses who has the wrong password', async () => {
    const config = await databases.config();
    if (config.engine !== 'postgres') throw new TypeError('not Postgres');
    const { passwordFile: _, ...without } = config;
    await expect(openDatabase(without, Math.random)).rejects.toMatchObject({ name: 'DatabaseError' });
  });
});

it('takes no password within a URL', () => {
  const accepts = (url: string) => databaseConfig().safeParse({ engine: 'postgres', url }).success;
  expect(accepts('postgres://mecai@db.example:5432/mecai?sslmode=verify-full')).toBe(true);
  expect(accepts('postgres://mecai:secret@db.example/mecai')).toBe(false);
  expect(accepts('postgres://mecai@db.example/mecai?password=secret')).toBe(false);
  expect(accepts('mysql://mecai@db.example/mecai')).toBe(false);
});
