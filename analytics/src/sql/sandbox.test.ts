import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnalyticsError } from '../error.ts';
import { Store } from '../store.ts';
import { seed } from '../testing/seed.ts';
import { Sandbox } from './sandbox.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-sandbox-'));
const log = createLogger('sandbox', 'silent');
const secret = join(root, 'secret.txt');
const asked: string[] = [];
const elsewhere = createServer(({ url = '' }, response) => {
  asked.push(url);
  response.end('1\n');
});
let store: Store;
let sandbox: Sandbox;
let web: string;

beforeAll(async () => {
  writeFileSync(secret, 'top secret\n');
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  web = `127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
  store = await Store.open(
    { store: { kind: 'embedded', directory: join(root, 'store') }, retentionDays: 0, insertMs: 15_000 },
    log,
  );
  await seed(store, { rows: 12_000, endpoints: 100, until: Date.UTC(2026, 10, 22), spanMs: 6 * 3_600_000 });
  const limits = { seconds: 4, rows: 10_000, resultBytes: 20_000_000, memoryBytes: 200_000_000 };
  sandbox = new Sandbox(() => store, limits, log);
});
afterAll(async () => {
  await sandbox.close();
  await store.close();
  elsewhere.close();
  rmSync(root, { recursive: true, force: true });
});

const rows = async (query: string): Promise<unknown[]> => {
  const answer = await text(await sandbox.run(query, 'JSONEachRow'));
  return answer
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
};
const codeOf = (query: string): Promise<string> =>
  sandbox.run(query, 'JSONEachRow').then(
    async (answer) => `allowed: ${(await text(answer)).slice(0, 200)}`,
    (error: unknown) => (error instanceof AnalyticsError ? error.code : `thrown: ${String(error)}`),
  );

describe('a query that computes on the tables', () => {
  it.each([
    ['counts', "SELECT count() AS n FROM observations WHERE verdict = 'mismatch'"],
    ['tables with their database', 'SELECT count() FROM default.observations'],
    ['a comment and a semicolon', 'SELECT 1 -- nothing; more\n;'],
    ['a semicolon inside text', "SELECT ';DROP TABLE observations' AS x"],
    [
      'common table expressions',
      'WITH a AS (SELECT agent, count() AS n FROM observations GROUP BY agent) SELECT * FROM a ORDER BY n',
    ],
    [
      'joins',
      'SELECT o.agent, c.subject FROM observations AS o ANY JOIN certificates AS c ON c.fingerprint = o.leaf LIMIT 3',
    ],
    [
      'states of aggregates',
      'SELECT server_name, uniqMerge(agents) AS seen FROM endpoint_vantage GROUP BY server_name LIMIT 3',
    ],
    [
      'combinators',
      "SELECT countIf(verdict = 'match'), avgOrNullIf(proof_us, proof_us > 0), sumMap(map(agent, 1)) FROM observations",
    ],
    ['parameters of aggregates', 'SELECT quantiles(0.5, 0.99)(proof_us) FROM observations'],
    [
      'windows',
      'SELECT agent, row_number() OVER (PARTITION BY country ORDER BY agent) FROM (SELECT DISTINCT agent, country FROM observations)',
    ],
    [
      'arrays and lambdas',
      'SELECT arrayMap(x -> upper(x), chain) FROM observations ARRAY JOIN chain AS one LIMIT 2',
    ],
    [
      'times',
      'SELECT toStartOfInterval(received_at, INTERVAL 1 HOUR) AS t, count() FROM observations GROUP BY t ORDER BY t WITH FILL STEP INTERVAL 1 HOUR',
    ],
    [
      'addresses',
      "SELECT isIPAddressInRange(toString(address), '::ffff:203.0.0.0/104'), IPv6NumToString(address) FROM observations LIMIT 1",
    ],
    [
      'sets',
      "SELECT count() FROM observations WHERE agent IN ('lima', 'tokyo') AND leaf NOT IN (SELECT fingerprint FROM certificates)",
    ],
    ['numbers', 'SELECT sum(number) FROM numbers(10)'],
    ['FINAL', "SELECT kind FROM incidents FINAL WHERE state = 'open'"],
    ['unions', 'SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3'],
    [
      'text',
      "SELECT replaceRegexpOne(issuer, '^CN=([^,]*).*', '\\\\1') AS ca, count() FROM observations GROUP BY ca",
    ],
    [
      'conditions',
      "SELECT CASE WHEN asn > 1 THEN 'a' ELSE 'b' END, coalesce(alert, 0), CAST(port AS String) FROM observations LIMIT 1",
    ],
    ['all columns but some', 'SELECT * EXCEPT (chain, nonce) FROM observations LIMIT 1'],
  ])('%s', async (_, query) => {
    expect((await rows(query)).length).toBeGreaterThan(0);
  });

  it('sees what was stored a moment ago', async () => {
    const count = "SELECT count() AS n FROM verdicts WHERE observation = 'ab'";
    expect(await rows(count)).toEqual([{ n: 0 }]);
    await store.command(
      "INSERT INTO verdicts (observation, rules_version, received_at, verdict) VALUES ('ab', 2, now64(3), 'match')",
    );
    await expect.poll(() => rows(count), { timeout: 60_000 }).toEqual([{ n: 1 }]);
  });

  it('reads on while parts are merged, and merges nothing itself', async () => {
    const count = 'SELECT count() AS n, countIf(verified) AS v FROM observations';
    const before = await rows(count);
    await store.command('OPTIMIZE TABLE observations FINAL');
    expect(await rows(count)).toEqual(before);
    expect(await store.query(count)).toEqual(before);
  });

  it('gives Parquet and Arrow', async () => {
    const query = 'SELECT agent, received_at FROM observations LIMIT 5';
    const parquet = await buffer(await sandbox.run(query, 'Parquet'));
    expect(parquet.subarray(0, 4).toString()).toBe('PAR1');
    const arrow = await buffer(await sandbox.run(query, 'Arrow'));
    expect(arrow.subarray(0, 6).toString()).toBe('ARROW1');
  });
});

/** Each of them tries what no query may; `@secret` is a file, `@web` a server that counts who asks. */
const hostile: readonly (readonly [what: string, query: string])[] = [
  ['insert', "INSERT INTO verdicts VALUES ('x', 1, now(), 'match', now())"],
  ['insert of a select', 'INSERT INTO verdicts SELECT * FROM verdicts'],
  ['create', 'CREATE TABLE x (a Int8) ENGINE = Memory'],
  ['create temporary', 'CREATE TEMPORARY TABLE x (a Int8)'],
  ['create as', 'CREATE VIEW x AS SELECT 1'],
  [
    'create dictionary',
    "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(HTTP(URL 'http://@web/d' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(1)",
  ],
  ['create function', 'CREATE FUNCTION f AS (x) -> x'],
  ['create user', 'CREATE USER x'],
  ['grant', 'GRANT ALL ON *.* TO default'],
  ['drop', 'DROP TABLE observations'],
  ['truncate', 'TRUNCATE TABLE observations'],
  ['rename', 'RENAME TABLE observations TO x'],
  ['detach', 'DETACH TABLE observations'],
  ['attach', "ATTACH TABLE x FROM '/tmp' (a Int8) ENGINE = MergeTree ORDER BY a"],
  ['delete', 'DELETE FROM observations WHERE 1'],
  ['update', "ALTER TABLE observations UPDATE verdict = 'match' WHERE 1"],
  ['optimize', 'OPTIMIZE TABLE observations FINAL'],
  ['backup', "BACKUP TABLE observations TO File('@out')"],
  ['system', 'SYSTEM SHUTDOWN'],
  ['kill', 'KILL QUERY WHERE 1'],
  ['settings', 'SET readonly = 0'],
  ['settings in the query', 'SELECT 1 SETTINGS readonly = 0'],
  ['settings in a subquery', 'SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 100)'],
  ['use', 'USE system'],
  ['a second statement', 'SELECT 1; DROP TABLE observations'],
  ['a second statement that selects', "SELECT 1; SELECT file('@secret')"],
  ['a second statement after a comment', '/* */ SELECT 1 /* ; */ ; SELECT 2'],
  ['explain', 'EXPLAIN SELECT 1'],
  ['describe', "DESCRIBE file('@secret')"],
  ['show', 'SHOW TABLES'],
  ['exists', 'EXISTS TABLE observations'],
  ['check', 'CHECK TABLE observations'],
  ['result into a file', "SELECT 1 INTO OUTFILE '@out'"],
  ['result into a file, from within', "SELECT 1) INTO OUTFILE '@out' FORMAT CSV --"],
  ['out of the parentheses', "SELECT 1) UNION ALL SELECT * FROM file('@secret', LineAsString"],
  ['a format of its own', 'SELECT 1 FORMAT Native'],
  ['a file as a table', "SELECT * FROM file('@secret', LineAsString)"],
  ['a file as a value', "SELECT file('@secret')"],
  ['a file as a value, quoted', "SELECT `file`('@secret')"],
  ['a file in capitals', "SELECT FILE('@secret')"],
  ['a file in WHERE', "SELECT 1 WHERE file('@secret') != ''"],
  ['a file in PREWHERE', "SELECT 1 FROM observations PREWHERE file('@secret') != ''"],
  ['a file in ORDER BY', "SELECT agent FROM observations ORDER BY file('@secret')"],
  ['a file in GROUP BY', "SELECT 1 FROM observations GROUP BY GROUPING SETS ((file('@secret')), (agent))"],
  ['a file in HAVING', "SELECT agent FROM observations GROUP BY agent HAVING file('@secret') != ''"],
  ['a file in QUALIFY', "SELECT agent FROM observations QUALIFY file('@secret') != ''"],
  ['a file in LIMIT', "SELECT agent FROM observations LIMIT length(file('@secret'))"],
  ['a file in LIMIT BY', "SELECT agent FROM observations LIMIT 1 BY file('@secret')"],
  ['a file in OFFSET', "SELECT agent FROM observations LIMIT 1 OFFSET length(file('@secret'))"],
  ['a file in WITH', "WITH file('@secret') AS x SELECT x"],
  ['a file in a common table expression', "WITH x AS (SELECT file('@secret')) SELECT * FROM x"],
  ['a file in a window', "SELECT count() OVER (PARTITION BY file('@secret')) FROM observations"],
  [
    'a file in a named window',
    "SELECT count() OVER w FROM observations WINDOW w AS (ORDER BY file('@secret'))",
  ],
  [
    'a file in the frame of a window',
    "SELECT count() OVER (ORDER BY agent ROWS BETWEEN length(file('@secret')) PRECEDING AND CURRENT ROW) FROM observations",
  ],
  ['a file in FILL', "SELECT port FROM observations ORDER BY port WITH FILL TO length(file('@secret'))"],
  [
    'a file in INTERPOLATE',
    "SELECT port, agent FROM observations ORDER BY port WITH FILL INTERPOLATE (agent AS file('@secret'))",
  ],
  [
    'a file in ON',
    "SELECT 1 FROM observations AS a JOIN certificates AS b ON a.leaf = concat(b.fingerprint, file('@secret'))",
  ],
  ['a file in ARRAY JOIN', "SELECT x FROM observations ARRAY JOIN [file('@secret')] AS x"],
  ['a file in a lambda', "SELECT arrayMap(x -> file(x), ['@secret'])"],
  ['a file in a parameter', "SELECT quantile(length(file('@secret')))(port) FROM observations"],
  ['a file in FILTER', "SELECT count() FILTER (WHERE file('@secret') != '') FROM observations"],
  ['a file in IN', "SELECT 'x' IN (file('@secret'))"],
  ['a file in EXISTS', "SELECT EXISTS (SELECT file('@secret'))"],
  ['a file in CASE', "SELECT CASE WHEN 1 THEN file('@secret') END"],
  ['a file in CAST', "SELECT CAST(file('@secret') AS String), file('@secret')::String"],
  ['a file in a tuple', "SELECT (1, file('@secret')).2"],
  ['a file in an interval', "SELECT now() + INTERVAL length(file('@secret')) DAY"],
  ['a file in a table of numbers', "SELECT * FROM numbers(length(file('@secret')))"],
  ['a file in values', "SELECT * FROM values('a String', file('@secret'))"],
  ['a file by APPLY', "SELECT * APPLY (file) FROM (SELECT '@secret' AS a)"],
  ['a file by APPLY of a lambda', "SELECT COLUMNS('a') APPLY (x -> file(x)) FROM (SELECT '@secret' AS a)"],
  ['a file by REPLACE', "SELECT * REPLACE (file('@secret') AS a) FROM (SELECT 1 AS a)"],
  ['a file by a name with a line break', "SELECT 1 AS `x\nLiteral y`, file('@secret')"],
  ['a directory', "SELECT * FROM filesystem('/etc')"],
  ['a database on disk', "SELECT * FROM sqlite('@secret', 'x')"],
  ['a data lake', "SELECT * FROM icebergLocal('@secret')"],
  ['a URL', "SELECT * FROM url('http://@web/u', LineAsString)"],
  ['a URL in a subquery of IN', "SELECT 1 IN (SELECT * FROM url('http://@web/u', LineAsString))"],
  ['a bucket', "SELECT * FROM s3('http://@web/bucket/key')"],
  ['another server', "SELECT * FROM remote('@web', 'system.one')"],
  ['a cluster', "SELECT * FROM cluster('default', system.one)"],
  ['another database system', "SELECT * FROM mysql('@web', 'a', 'b', 'c', 'd')"],
  ['another of them', "SELECT * FROM postgresql('@web', 'a', 'b', 'c', 'd')"],
  ['a program', "SELECT * FROM executable('id', TSV, 'a String')"],
  ['a query in text', "SELECT * FROM eval('SELECT 1')"],
  ['tables by pattern', "SELECT * FROM merge('system', '.*')"],
  ['a view of a query', 'SELECT * FROM view(SELECT 1)'],
  ['input', "SELECT * FROM input('a Int8')"],
  ['a table without end', 'SELECT * FROM loop(observations)'],
  ['random rows without end', "SELECT * FROM generateRandom('a UInt64')"],
  ['zeros without end', 'SELECT * FROM zeros(1000000000000)'],
  ['parts of a table', 'SELECT * FROM mergeTreeIndex(default, observations)'],
  ['a dictionary', "SELECT * FROM dictionary('x')"],
  ['a value of a dictionary', "SELECT dictGet('x', 'y', 1)"],
  ['a value of a join', "SELECT joinGet('x', 'y', 1)"],
  ['tables of the engine', 'SELECT * FROM system.tables'],
  ['tables of the engine, quoted', 'SELECT * FROM `system`.`disks`'],
  ['tables of the engine, quoted as one', 'SELECT * FROM `system.disks`'],
  ['tables of the engine in IN', "SELECT 'x' IN system.users"],
  ['tables of the engine in a join', 'SELECT 1 FROM observations JOIN system.processes ON 1'],
  ['tables of the standard', 'SELECT * FROM information_schema.tables'],
  ['tables of the standard in capitals', 'SELECT * FROM INFORMATION_SCHEMA.TABLES'],
  ['sleep', 'SELECT sleep(3)'],
  ['sleep in rows', 'SELECT sleepEachRow(1) FROM numbers(100)'],
  ['where it runs', 'SELECT hostName()'],
  ['its settings', "SELECT getSetting('max_threads')"],
  ['its user', 'SELECT currentUser()'],
  ['symbols of the program', 'SELECT addressToSymbol(1)'],
  ['a stack', 'SELECT demangle(addressToSymbol(1))'],
  ['an artificial intelligence', "SELECT aiGenerate('x')"],
  ['an error on purpose', "SELECT throwIf(1, 'x')"],
  ['a model', "SELECT catboostEvaluate('@secret', 1)"],
  ['a parameter', 'SELECT {x:String}'],
  ['NUL', 'SELECT 1\0'],
  ['an absurd length', `SELECT ${'1 + '.repeat(20_000)}1`],
];

describe('a query that tries what no query may', () => {
  it.each(hostile)('%s', async (_, query) => {
    const tried = query
      .replaceAll('@secret', secret)
      .replaceAll('@web', web)
      .replaceAll('@out', join(root, 'out'));
    expect(await codeOf(tried)).toMatch(/^query-(refused|failed)$/);
    expect(existsSync(join(root, 'out'))).toBe(false);
    expect(asked).toEqual([]);
  });

  it('leaves the tables as they were', async () => {
    expect(readFileSync(secret, 'utf8')).toBe('top secret\n');
    expect(await store.query('SELECT count() AS n FROM observations')).toEqual([{ n: 12_000 }]);
  });

  it('does not see who asked', async () => {
    expect(await codeOf('SELECT requester FROM decisions')).toBe('query-failed');
    expect(await rows('SELECT count() AS n FROM decisions WHERE authenticated')).toEqual([{ n: 1000 }]);
  });
});

describe('a query that takes too much', () => {
  it.each([
    ['time', 'SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1'],
    [
      'time, by joining',
      'SELECT count() FROM observations AS a, observations AS b, observations AS c WHERE cityHash64(a.proof_us, b.proof_us, c.proof_us) = 1',
    ],
    [
      'time, by recursion',
      'WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r',
    ],
    ['rows', 'SELECT id FROM observations'],
    ['bytes', "SELECT repeat('x', 1000000) FROM numbers(100)"],
    ['bytes that are the same in every row', "SELECT repeat('x', 10000) FROM numbers(5000)"],
    ['memory', 'SELECT groupArray(number) FROM numbers(1000000000)'],
    ['memory, in one value', "SELECT length(repeat(repeat('x', 1000000), 1000))"],
    ['depth', `SELECT ${'('.repeat(2000)}1${')'.repeat(2000)}`],
    ['breadth', `SELECT ${Array.from({ length: 6000 }, (_, i) => `${i} + 0`).join(',')}`],
  ])(
    '%s',
    async (_, query) => {
      expect(await codeOf(query)).toMatch(/^query-(limit|failed|refused)$/);
      // And the next one is answered.
      expect(await rows('SELECT 1 AS x')).toEqual([{ x: 1 }]);
    },
    60_000,
  );

  it('that fails half-way leaves nothing to the next', async () => {
    for (const format of ['JSONEachRow', 'JSONCompact', 'TabSeparated']) {
      const fails = "SELECT 'SELECT 2 AS x' AS query FROM numbers(20000)";
      await expect(sandbox.run(fails, format)).rejects.toThrow('Limit for result');
      expect(await rows('SELECT 1 AS x')).toEqual([{ x: 1 }]);
    }
  });

  it('waits its turn, and too many are turned away', async () => {
    const slow = 'SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1';
    const answers = await Promise.all(
      Array.from({ length: 11 }, (_, i) => codeOf(i === 0 ? slow : 'SELECT 1')),
    );
    expect(answers.filter((code) => code === 'busy')).toHaveLength(3);
  });
});
