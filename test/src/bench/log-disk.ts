/** The certificate log on Postgres: what a certificate takes on the disk, and how much WAL is written. */
import { createHash, randomInt } from 'node:crypto';
import { logMigrations, noticeMigrations, sweep } from '@mecai/coordinator/certificate-log';
import { type Database, type DatabaseConfig, migrate, openDatabase } from '@mecai/database';
import { type TestCa, intermediateCa, rootCa, serverCertificate } from '../network/index.ts';
import type { Report } from './figures.ts';
import { idOf, now, parts, sight } from './log-parts.ts';

type Leaves = readonly { readonly der: Uint8Array }[];

/** Enough that hardly two of those measured are on one page: so it is with millions. */
const others = 500_000;
const some = 500;
const day = 86_400_000;
const never = Number.MAX_SAFE_INTEGER;

/** @param fresh makes an empty database, as superuser */
export async function diskAndWal(fresh: () => Promise<DatabaseConfig>, report: Report): Promise<void> {
  const ca = intermediateCa('Bench Issuing CA', rootCa('Bench Root'));
  const small = await opened(await fresh());
  report(
    'postgres: a certificate on disk, tables and indexes, without its DER',
    await octetsOnDisk(small, ca),
    'octets',
  );
  await small.close();

  const large = await opened(await fresh());
  await fill(large);
  const vouchers = await walOf(large, () => seenAgain(large));
  report('postgres: WAL of a voucher, no page touched since the checkpoint', vouchers / some, 'octets');
  const certificates = await walOfLives(large, leavesOf(ca, some));
  report('postgres: WAL of a certificate over its life, likewise', certificates / some, 'octets');
  await large.close();
}

async function opened(config: DatabaseConfig): Promise<Database> {
  const database = await openDatabase(config, Math.random);
  await migrate(database, 'log', logMigrations, now);
  await migrate(database, 'notice', noticeMigrations, now);
  return database;
}

/** As random as real ones where indexes sort them. */
function leavesOf(ca: TestCa, count: number): Leaves {
  return Array.from({ length: count }, () => {
    const domain = `${randomInt(2 ** 47).toString(36)}.example`;
    return serverCertificate(ca, { dns: [`www.${domain}`, domain] });
  });
}

async function firstSights(database: Database, leaves: Leaves): Promise<void> {
  const { log } = parts(database);
  const waiting = [...leaves];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let leaf = waiting.pop(); leaf; leaf = waiting.pop())
        await log.admit(sight(leaf.der), createHash('sha256').update(leaf.der).digest(), undefined);
    }),
  );
}

/** Seen and cleared a few at a time, so that what an update leaves behind is used again. */
async function octetsOnDisk(database: Database, ca: TestCa): Promise<number> {
  const [rounds, each] = [10, 1_000];
  for (let round = 0; round < rounds; round++) {
    await firstSights(database, leavesOf(ca, each));
    const swept = await sweep({ database, keepExpiredMs: never }, now + 4 * day);
    if (swept?.cleared !== each) throw new Error('holds that did not end');
    await database.query('vacuum certificate');
  }
  const [row] = await database.query<{ readonly octets: number }>(
    `select sum(pg_total_relation_size(name)) - (select sum(length(der)) from certificate_der) as octets
     from unnest(array['certificate', 'certificate_der', 'certificate_name', 'certificate_endpoint', 'certificate_event']::regclass[])
       as name`,
  );
  return row!.octets / (rounds * each);
}

/** Certificates that nobody sweeps, in every table: what is new comes between them. */
async function fill(database: Database): Promise<void> {
  const times = `${now - 40 * day}, ${now + 10_000 * day}`;
  await database.exclusive((statements) =>
    statements.script(`
      create temp table ids as select sha256(int8send(i::bigint)) as k from generate_series(1, ${others}) i order by 1;
      insert into certificate select k, k, k, 'CN=Example Issuing CA, O=Example CA',
        '{"dns":["www.example.org","example.org"],"ip":[]}', ${times}, ${now - 39 * day}, 'cleared', ${now}, 2 from ids;
      insert into certificate_der select k, '' from ids;
      insert into certificate_name select encode(k, 'hex'), k from ids;
      insert into certificate_name select 'www.' || encode(k, 'hex'), k from ids;
      insert into certificate_endpoint select k, '198.51.100.7', 443, 'www.example.org', '', ${now - 39 * day}, ${now - day} from ids;
      insert into certificate_event select k, 1, ${now - 39 * day}, 'first-sight', '{}' from ids;
      drop table ids`),
  );
  // What autovacuum would do in the middle of it.
  await database.query('vacuum analyze');
}

async function seenAgain(database: Database): Promise<void> {
  const { log, lastSeen } = parts(database);
  for (let i = 0; i < some; i++) {
    const id = idOf(randomInt(1, others + 1));
    const standing = await log.standing(id);
    if (standing?.state !== 'cleared') throw new Error('not in the log');
    await log.admit(sight(new Uint8Array()), id, standing);
  }
  await lastSeen.flush();
}

/** Seen, cleared, expired, forgotten: days and months lie between, and checkpoints. */
async function walOfLives(database: Database, leaves: Leaves): Promise<number> {
  const swept = (what: 'cleared' | 'expired' | 'forgotten', after: number, keepExpiredMs: number) =>
    walOf(database, async () => {
      const done = await sweep({ database, keepExpiredMs }, now + after);
      if (done?.[what] !== leaves.length) throw new Error(`not all are ${what}`);
    });
  return (
    (await walOf(database, () => firstSights(database, leaves))) +
    (await swept('cleared', 4 * day, never)) +
    (await swept('expired', 200 * day, never)) +
    (await swept('forgotten', 200 * day, 0))
  );
}

/** Octets. */
async function walOf(database: Database, work: () => Promise<void>): Promise<number> {
  const written = async () => {
    const [row] = await database.query<{ readonly octets: number }>(
      "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as octets",
    );
    return row!.octets;
  };
  await database.query('checkpoint');
  const before = await written();
  await work();
  return (await written()) - before;
}
