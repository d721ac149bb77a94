import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import * as fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { StoreConfig } from './config.ts';
import { migrations } from './migrations.ts';
import { countRows, observationsOf } from './queries.ts';
import type { ObservationRow, StoredEvent } from './rows.ts';
import { Store } from './store.ts';
import { commonColumns, ownColumns } from './observation-columns.ts';
import { PackedObservations } from './packed-observations.ts';
import { describeSchema } from './testing/describe-schema.ts';
import { startClickHouse } from './testing/process.ts';
import { Writer } from './writer.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-store-'));
const log = createLogger('store', 'silent');
let server: ChildProcess | undefined;
afterEach(() => void server?.kill('SIGKILL'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const day = 86_400_000;
const now = Date.now();
let serial = 0;
const row = (changes: Partial<ObservationRow> = {}): ObservationRow => ({
  id: (serial++).toString(16).padStart(32, '0'),
  received_at: now,
  observed_at: now,
  nonce: 'ab'.repeat(32),
  coordinator: 'va1',
  campaign: '',
  agent: 'lima',
  country: 'PE',
  region: '',
  city: 'Lima',
  rir: 'lacnic',
  asn: 64_500,
  address: '::ffff:192.0.2.1',
  target_country: '',
  target_asn: 0,
  port: 443,
  server_name: 'a.example',
  start_tls: '',
  key_type: 'ecdsa',
  chain: [],
  leaf: '',
  leaf_spki: '',
  leaf_key: '',
  issuer: '',
  possession_proven: false,
  tls_version: 0,
  cipher_suite: 0,
  key_group: 0,
  signature_scheme: 0,
  alpn: '',
  ocsp_responses: 0,
  sct_lists: 0,
  error_class: 'alert',
  alert: 40,
  error_detail: '',
  connect_us: 0,
  first_byte_us: 0,
  proof_us: 0,
  end_us: 0,
  verified: true,
  verdict: 'inconclusive',
  rules_version: 1,
  weight: 1,
  ...changes,
});
const insert = (store: Store, rows: ObservationRow[]) => {
  const packed = new PackedObservations();
  for (const one of rows) packed.add({ row: one, common: one });
  return store.insertPacked(packed);
};
const embedded = (name: string): StoreConfig => ({ kind: 'embedded', directory: join(root, name) });
const open = (store: StoreConfig, retentionDays = 0) =>
  Store.open({ store, retentionDays, ratesRetentionDays: retentionDays, insertMs: 10_000 }, log);

async function serve(directory: string, port = 0, ...logins: string[]): Promise<number> {
  const started = await startClickHouse(join(root, directory), port, ...logins);
  server = started.child;
  return started.port;
}
const at = (port: number, database = 'mecai'): StoreConfig => ({
  kind: 'server',
  url: `http://127.0.0.1:${port}`,
  user: 'default',
  leaseMs: 10_000,
  database,
});
const events = (count: number): StoredEvent[] =>
  Array.from({ length: count }, () => ({
    table: 'observations',
    row: row(),
    common: row(),
    earliest: now,
  }));
const candidates = (some: StoredEvent[]) => some.map((event) => ({ event, redelivered: false }));

describe('schema', () => {
  it('is complete after the first opening, the same after the next, and says what each column is', async () => {
    for (let i = 0; i < 2; i++) {
      const store = await open(embedded('schema'));
      const taken = await store.query<{ number: number }>('SELECT number FROM migrations ORDER BY number');
      expect(taken.map(({ number }) => number)).toEqual(migrations.map(({ number }) => number));
      const silent = await store.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' AND NOT endsWith(table, '_view')",
      );
      expect(silent).toEqual([]);
      await store.close();
    }
  });

  it('goes on where it stopped', async () => {
    const store = await open(embedded('half'));
    await store.command('ALTER TABLE migrations DELETE WHERE number > 1 SETTINGS mutations_sync = 2');
    await store.command('DROP TABLE mismatches');
    await store.close();
    const again = await open(embedded('half'));
    expect(await countRows(again)).toMatchObject({ mismatches: 0 });
    await again.close();
  });

  it('of a later version is left alone', async () => {
    const store = await open(embedded('later'));
    await store.command("INSERT INTO migrations (number, name) VALUES (1000, 'later')");
    await store.close();
    await expect(open(embedded('later'))).rejects.toMatchObject({ code: 'newer-schema' });
    const writer = new Writer(
      { store: embedded('later'), retentionDays: 0, insertMs: 1000 },
      { log, signal: new AbortController().signal },
    );
    await expect(writer.open()).rejects.toMatchObject({ code: 'newer-schema' });
  });

  it('is described in SCHEMA.md', async () => {
    const store = await open(embedded('described'));
    await expect(await describeSchema(store)).toMatchFileSnapshot('../SCHEMA.md');
    await store.close();
  });

  it('numbers its steps without gaps', () => {
    expect(migrations.map(({ number }) => number)).toEqual(migrations.map((_, i) => i + 1));
  });
});

describe('rows', () => {
  it('are inserted with the types that the schema has', async () => {
    const store = await open(embedded("it's here"));
    const columns = await store.query<{ name: string; type: string }>(
      "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'observations' AND name != 'stored_at' ORDER BY name",
    );
    const inserted = Object.entries({ ...ownColumns, ...commonColumns }).map(([name, [type]]) => ({
      name,
      type,
    }));
    // The engine makes one of the other.
    const plain = (one: { name: string; type: string }) => ({
      name: one.name,
      type: one.type.replace('LowCardinality(String)', 'String'),
    });
    expect(inserted.map(plain).toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(columns.map(plain));
    await insert(store, [row(), row()]);
    expect(await countRows(store)).toMatchObject({ observations: 2 });
    await store.close();
  });

  it('of a query that fails half-way do not come with the next', async () => {
    const store = await open(embedded('half-way'));
    for (const format of ['JSONEachRow', 'JSONCompact']) {
      const fails = `SELECT throwIf(number = 200000) FROM numbers(1e6) FORMAT ${format}`;
      const failed = expect(store.stream(fails)).rejects.toThrow('throwIf');
      // Asked for before it has failed.
      const others = Array.from({ length: 8 }, (_, x) => store.query('SELECT {x:UInt8} AS x', { x }));
      expect(await Promise.all(others)).toEqual(others.map((_, x) => [{ x }]));
      await failed;
    }
    await store.close();
  });

  it('come back as they went in, whatever the texts', { timeout: 120_000 }, async () => {
    const store = await open(embedded('texts'));
    const hostile = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        "'; DROP TABLE observations; --",
        '"\n;\0',
        '\\N',
        '{nonce:String}',
        '\u2028<script>',
        '%s',
        '',
      ),
    );
    const text = hostile.map((given) => given.toWellFormed());
    let n = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(text, text, fc.array(text)), { minLength: 1, maxLength: 20 }),
        async (texts) => {
          const nonce = (n++).toString(16).padStart(64, '0');
          const rows = texts.map(([server_name, error_detail, chain]) =>
            row({ nonce, server_name, error_detail, chain }),
          );
          await insert(store, rows);
          const found = await observationsOf(store, nonce);
          expect(found.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(
            rows.map((given) => ({ ...given, address: '192.0.2.1' })),
          );
        },
      ),
      { numRuns: 25 },
    );
    await store.close();
  });

  it('of a repeated insert are stored once; tables and later inserts do not mix', async () => {
    const store = await open(embedded('token'));
    const rows = [row(), row()];
    await insert(store, rows);
    await insert(store, rows);
    await insert(store, [row()]);
    expect(await countRows(store)).toMatchObject({ observations: 3 });
    await store.close();
  });

  it('older than the retention are removed, and kept again when it is lifted', async () => {
    const config = embedded('retention');
    const old = () => row({ received_at: now - 3 * day });
    const store = await open(config, 2);
    await insert(store, [old(), row()]);
    await store.command('OPTIMIZE TABLE observations FINAL');
    expect(await countRows(store)).toMatchObject({ observations: 1 });
    await store.close();
    for (const [days, left] of [
      [4, 2],
      [0, 3],
    ] as const) {
      const again = await open(config, days);
      await insert(again, [old()]);
      await again.command('OPTIMIZE TABLE observations FINAL');
      expect(await countRows(again)).toMatchObject({ observations: left });
      await again.close();
    }
  });
});

it('what a crash kept from the materialised views is counted anew at the next opening', async () => {
  const config = embedded('recount');
  const store = await open(config);
  const rows = Array.from({ length: 20 }, (_, i) => row({ weight: 1 + (i % 2), chain: ['ab'], leaf: 'ab' }));
  await insert(store, rows);
  const counted = `SELECT (SELECT sum(observations) FROM rates_by_minute) AS minutes,
    (SELECT sum(observations) FROM rates_by_hour) AS hours,
    (SELECT uniqExact(fingerprint) FROM fingerprints) AS fingerprints`;
  const whole = { minutes: 30, hours: 30, fingerprints: 1 };
  expect(await store.query(counted)).toEqual([whole]);
  for (const table of ['rates_by_minute', 'fingerprints']) await store.command(`TRUNCATE TABLE ${table}`);
  await store.command('INSERT INTO rates_by_hour SELECT * FROM rates_by_hour');
  expect(await store.query(counted)).toEqual([{ minutes: 0, hours: 60, fingerprints: 0 }]);
  await store.close();
  const again = await open(config);
  expect(await again.query(counted)).toEqual([whole]);
  await again.close();
});

describe('a server by URL', () => {
  it('takes the same rows as the embedded engine, in the database named', async () => {
    const port = await serve('served');
    const store = await open(at(port, 'voucher_authority'), 7);
    await insert(store, [row({ nonce: 'cd'.repeat(32), chain: ["it's"] })]);
    expect(await observationsOf(store, 'cd'.repeat(32))).toMatchObject([{ chain: ["it's"], alert: 40 }]);
    expect(await store.query('SELECT count() AS n FROM voucher_authority.observations')).toEqual([{ n: 1 }]);
    await store.close();
  });

  it('may be absent at the start, and die with the answer to an insert: all is stored once', async () => {
    const port = await serve('dies');
    const first = once(server!, 'exit');
    server!.kill('SIGKILL');
    await first;
    const aborted = new AbortController();
    const writer = new Writer(
      { store: at(port), retentionDays: 0, insertMs: 5000 },
      { log, signal: aborted.signal },
    );
    const some = events(50);
    const written = writer.write(candidates(some));
    await serve('dies', port);
    expect(await written).toEqual({ stored: 50, repeated: 0 });

    server!.send('die-after-insert');
    const dead = once(server!, 'exit');
    const more = [...some.slice(40), ...events(30)];
    const uncertain = writer.write(candidates(more));
    await dead;
    await serve('dies', port);
    // Of the thirty the store leaves out what it has.
    expect(await uncertain).toEqual({ stored: 30, repeated: 10 });
    expect(await countRows(writer.store!)).toMatchObject({ observations: 80 });
    await writer.close();
  });

  it('is given user and password, and a wrong one is told', async () => {
    const passwordFile = join(root, 'password');
    writeFileSync(passwordFile, 'correct horse\n');
    const port = await serve('login', 0, 'ada:correct horse');
    const config = { ...at(port), user: 'ada', passwordFile } as StoreConfig;
    await (await open(config)).close();
    await expect(open({ ...config, user: 'eve' } as StoreConfig)).rejects.toMatchObject({
      code: 'store-absent',
    });
    writeFileSync(passwordFile, 'wrong');
    await expect(open(config)).rejects.toThrow(/Authentication failed/);
    await expect(open({ ...config, passwordFile: join(root, 'none') } as StoreConfig)).rejects.toThrow(
      /cannot read/,
    );
  });
});
