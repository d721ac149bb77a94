/** A node with an empty disk gets its tables from another one, as docs/operate/databases-down.md says. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Store } from './store.ts';
import { startClickHouse } from './testing/process.ts';

interface Engine {
  readonly child: ChildProcess;
  readonly port: number;
}

const root = mkdtempSync(join(tmpdir(), 'mecai-schema-copy-'));
let living: Engine;
let empty: Engine;

beforeAll(async () => {
  living = await startClickHouse(join(root, 'living'));
  empty = await startClickHouse(join(root, 'empty'));
});
afterAll(() => {
  for (const { child } of [living, empty]) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

async function ask({ port }: Engine, statement: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: statement });
  const text = await response.text();
  if (!response.ok) throw new Error(`${statement}\n${text}`);
  return text;
}

/** What `clickhouse-client -q` is given in the step that makes tables, in order. */
function statementsOfRunbook(): string[] {
  const text = readFileSync(join(import.meta.dirname, '../../docs/operate/databases-down.md'), 'utf8');
  const [block = ''] = /clickhouse-client --host "\$LIVING"[^]*?```/.exec(text) ?? [];
  return [...block.matchAll(/-q (["'])([^]*?)\1( |\n)/g)].map(([, , statement = '']) => statement.trim());
}

const described = async (engine: Engine) => ({
  tables: await ask(
    engine,
    `SELECT name, engine_full, create_table_query, comment FROM system.tables WHERE database = 'mecai' ORDER BY name FORMAT TSV`,
  ),
  columns: await ask(
    engine,
    `SELECT table, name, type, position, default_kind, default_expression, compression_codec, comment
     FROM system.columns WHERE database = 'mecai' ORDER BY table, position FORMAT TSV`,
  ),
});

it('has the same tables, views and columns then, and the views fill their tables', async () => {
  await ask(living, 'CREATE DATABASE mecai');
  const store = await Store.open(
    {
      store: {
        kind: 'server',
        url: `http://127.0.0.1:${living.port}`,
        user: 'default',
        database: 'mecai',
        leaseMs: 60_000,
      },
      // In force by an ALTER after the table was made.
      retentionDays: 30,
      insertMs: 10_000,
    },
    createLogger('schema', 'silent'),
  );
  await store.close();
  const [definitions = '', database = '', ...others] = statementsOfRunbook();
  expect([database, others]).toEqual(['CREATE DATABASE IF NOT EXISTS mecai', []]);
  const script = await ask(living, definitions);
  await ask(empty, database);
  // As the client divides a file of queries; no definition has this in its text.
  const statements = script.split(/;\n/).filter((statement) => statement !== '');
  expect(statements.length).toBeGreaterThan(20);
  for (const statement of statements) await ask(empty, statement);
  const made = await described(empty);
  expect(made.tables).toContain('toIntervalDay(30)');
  expect(made).toEqual(await described(living));

  await ask(
    empty,
    `INSERT INTO mecai.observations (agent, weight, received_at) VALUES ('frankfurt', 1, now64(3))`,
  );
  expect((await ask(empty, 'SELECT sum(observations) FROM mecai.rates_by_hour')).trim()).toBe('1');
});
