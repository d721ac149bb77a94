import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { Session } from 'chdb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Store } from '../store.ts';
import { startClickHouse } from '../testing/process.ts';
import { ServerReader } from './server-reader.ts';
import { readableTables } from './tables.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-reader-'));
let server: ChildProcess;
let reader: ServerReader;

beforeAll(async () => {
  const { child, port } = await startClickHouse(join(root, 'server'));
  server = child;
  const url = `http://127.0.0.1:${port}`;
  const store = await Store.open(
    {
      store: { kind: 'server', url, user: 'default', leaseMs: 10_000, database: 'mecai' },
      retentionDays: 0,
      insertMs: 15_000,
    },
    createLogger('reader', 'silent'),
  );
  await store.close();
  const limits = { seconds: 4, rows: 10_000, resultBytes: 1_000_000, memoryBytes: 200_000_000 };
  reader = new ServerReader({ url, user: 'default', password: '', database: 'mecai' }, limits);
}, 60_000);
afterAll(async () => {
  await reader.close();
  server.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const codeOf = (query: string) =>
  reader.run(query, 'JSONEachRow').then(
    async (answer) => text(answer),
    (error: { code?: string }) => error.code,
  );

describe('a server', () => {
  it('is asked what may be asked, with the limits of the configuration', async () => {
    expect(await codeOf('SELECT count() AS n FROM mecai.observations')).toBe('{"n":0}\n');
    expect(await codeOf('SELECT count() AS n FROM observations')).toBe('{"n":0}\n');
    expect(await codeOf('SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1')).toBe(
      'query-limit',
    );
    expect(await codeOf('SELECT number FROM numbers(20000)')).toBe('query-limit');
  });

  it.each([
    "SELECT file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    'SELECT * FROM system.tables',
    'SELECT * FROM default.observations',
    'INSERT INTO verdicts SELECT * FROM verdicts',
    'SELECT 1 SETTINGS max_execution_time = 100',
  ])('is not asked %s', async (query) => {
    expect(await codeOf(query)).toBe(query.startsWith('INSERT') ? 'query-failed' : 'query-refused');
  });
});

it('the SQL that makes the user is SQL, and grants every table that may be read', () => {
  const document = readFileSync(join(import.meta.dirname, '../../../docs/analytics.md'), 'utf8');
  const sql = /researcher: begin -->\n```sql\n([\s\S]*?)```/.exec(document)![1]!;
  const session = new Session();
  const statements = sql
    .split(';')
    .map((one) => one.trim())
    .filter((one) => one !== '');
  for (const statement of statements) {
    expect(session.query(`SELECT formatQuery('${statement.replaceAll("'", "\\'")}') != ''`)).toBe('1\n');
  }
  session.cleanup();
  const granted = statements.flatMap((one) => /^GRANT .* ON mecai\.(\w+) /.exec(one)?.[1] ?? []);
  expect(granted.sort()).toEqual(Object.keys(readableTables).sort());
});
