/**
 * The certificate log with millions of certificates, on node:sqlite and on Postgres (its commits on the disk, as in
 * production): what one decision takes, what a voucher costs, how fast new certificates come in, and the disk and WAL
 * of Postgres. The cost is compared with the CPU that a whole request takes in a running network, measured in the same run.
 *
 *   npm run bench -- log [--certificates=5000000]
 */
import { createHash, randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { requestVoucher } from '@mecai/client';
import { logMigrations, noticeMigrations } from '@mecai/coordinator/certificate-log';
import { type Database, type DatabaseConfig, migrate, openDatabase } from '@mecai/database';
import { startPostgres } from '@mecai/database/postgres-server';
import { serverCertificate, intermediateCa, rootCa, startNetwork, tlsServer } from '../network/index.ts';
import { inTurns, median, reporter } from './figures.ts';
import { diskAndWal } from './log-disk.ts';
import { idOf, now, parts, sight } from './log-parts.ts';

const report = reporter('log');
const [, given] = /--certificates=(\d+)/.exec(process.argv.join(' ')) ?? [];
const certificates = Number(given ?? 200_000);
const million = `${certificates / 1e6} million certificates`;
const lookups = 5_000;
const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-log-'));
const postgres = await startPostgres({
  fsync: true,
  settings: { shared_buffers: '512MB', max_wal_size: '4GB', maintenance_work_mem: '256MB' },
});
const configs: Record<'sqlite' | 'postgres', DatabaseConfig> = {
  sqlite: { engine: 'sqlite', file: join(directory, 'log.sqlite') },
  postgres: await postgres.fresh(),
};
try {
  // Postgres first: nothing else goes on while SQLite is filled.
  const onPostgres = await filled('postgres');
  const sqlite = await filled('sqlite');
  await latencies(sqlite, onPostgres);
  const request = await requestCpu();
  report('CPU of a whole request: coordinator, signer, agents, NATS', request, 'µs');
  await voucherCost('sqlite', sqlite, request);
  await voucherCost('postgres', onPostgres, request);
  await firstSights(sqlite, onPostgres);
  await diskAndWal(() => postgres.fresh(), report);
  await Promise.all([sqlite.close(), onPostgres.close()]);
} finally {
  await postgres.stop();
  rmSync(directory, { recursive: true, force: true });
}
process.exit();

async function filled(engine: keyof typeof configs): Promise<Database> {
  const database = await openDatabase(configs[engine], Math.random);
  await migrate(database, 'log', logMigrations, now);
  await migrate(database, 'notice', noticeMigrations, now);
  const since = performance.now();
  const columns = `sha256, spki_sha256, ca, issuer, names, not_before, not_after, first_request, state, hold_until, events`;
  const values = `'CN=Example Issuing CA, O=Example CA', '{"dns":["www.example.org","example.org"],"ip":[]}',
    ${now - 40 * 86_400_000}, ${now + 50 * 86_400_000}, ${now - 39 * 86_400_000}, 'cleared', ${now - 36 * 86_400_000}, 2`;
  const endpoint = `'198.51.100.7', 443, 'www.example.org', '', ${now - 39 * 86_400_000}, ${now - 86_400_000}`;
  const endpointColumns = 'sha256, address, port, server_name, start_tls, first_request, last_request';
  if (configs[engine].engine === 'sqlite') {
    const file = new DatabaseSync((configs[engine] as { file: string }).file);
    file.function('id', { deterministic: true }, (i) => idOf(Number(i)));
    file.exec(`pragma synchronous = off; pragma cache_size = -500000;
      create temp table ids as with recursive n(i) as (select 1 union all select i + 1 from n where i < ${certificates})
        select id(i) as k from n order by 1;
      insert into certificate (${columns}) select k, k, k, ${values} from ids;
      insert into certificate_endpoint (${endpointColumns}) select k, ${endpoint} from ids;
      drop table ids; analyze; pragma wal_checkpoint(truncate);`);
    file.close();
  } else {
    await database.exclusive(async (statements) => {
      await statements.script(`
        create temp table ids as select sha256(int8send(i::bigint)) as k from generate_series(1, ${certificates}) i order by 1;
        insert into certificate (${columns}) select k, k, k, ${values} from ids;
        insert into certificate_endpoint (${endpointColumns}) select k, ${endpoint} from ids; drop table ids`);
    });
    for (const table of ['certificate', 'certificate_endpoint']) await database.query(`analyze ${table}`);
  }
  report(`${engine}: ${million} loaded`, (performance.now() - since) / 1000, 's');
  return database;
}

async function latencies(sqlite: Database, onPostgres: Database): Promise<void> {
  const all = { sqlite: [] as number[], postgres: [] as number[] };
  const look = async (database: Database, all: number[]) => {
    const { log } = parts(database);
    const times: number[] = [];
    for (let i = 0; i < lookups; i++) {
      const id = idOf(randomInt(1, certificates + 1));
      const begun = performance.now();
      const standing = await log.standing(id);
      times.push(1000 * (performance.now() - begun));
      if (standing?.state !== 'cleared') throw new Error('not in the log');
    }
    all.push(...times);
    return median(times);
  };
  const medians = await inTurns(5, {
    sqlite: () => look(sqlite, all.sqlite),
    postgres: () => look(onPostgres, all.postgres),
  });
  const high = (times: number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
  report(`decision, ${million}, median: sqlite`, medians.sqlite, 'µs', {
    name: 'postgres',
    value: medians.postgres,
  });
  report(`decision, ${million}, 99th percentile: sqlite`, high(all.sqlite), 'µs', {
    name: 'postgres',
    value: high(all.postgres),
  });
}

/** Look-up, last request and all, 32 at a time; on Postgres with the CPU of the server. */
async function voucherCost(engine: string, database: Database, request: number): Promise<void> {
  const { log, lastSeen } = parts(database);
  const vouchers = 10_000;
  const round = async (count: number) => {
    let left = count;
    const flushing = setInterval(() => void lastSeen.flush(), 1_000);
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (left-- > 0) {
          const id = idOf(randomInt(1, certificates + 1));
          await log.admit(sight(new Uint8Array()), id, await log.standing(id));
        }
      }),
    );
    clearInterval(flushing);
    await lastSeen.flush();
  };
  await round(1_000);
  const before = cpu(engine);
  await round(vouchers);
  const after = cpu(engine);
  const own = ((after.own - before.own) * 1e6) / vouchers;
  report(`${engine}: CPU of the log in the coordinator, per voucher`, own, 'µs');
  const all = own + ((after.server - before.server) * 1e6) / vouchers;
  if (engine === 'postgres') report(`${engine}: and with the server`, all, 'µs');
  report(`${engine}: share of a request's CPU`, (100 * all) / request, '%');
}

async function firstSights(...databases: [Database, Database]): Promise<void> {
  const ca = intermediateCa('Bench Issuing CA', rootCa('Bench Root'));
  const leaves = () =>
    Array.from({ length: 300 }, (_, i) => serverCertificate(ca, { dns: [`host-${i}.test`] }));
  const [alone, together] = [leaves(), leaves()];
  const run = async (database: Database, some: ReturnType<typeof leaves>, outstanding: number) => {
    const { log } = parts(database);
    const waiting = [...some];
    const since = performance.now();
    await Promise.all(
      Array.from({ length: outstanding }, async () => {
        for (let leaf = waiting.pop(); leaf; leaf = waiting.pop()) {
          const id = createHash('sha256').update(leaf.der).digest();
          await log.admit(sight(leaf.der), id, await log.standing(id));
        }
      }),
    );
    return performance.now() - since;
  };
  const single: number[] = [];
  const many: number[] = [];
  for (const database of databases) {
    single.push((await run(database, alone, 1)) / alone.length);
    many.push((1000 * together.length) / (await run(database, together, 32)));
  }
  report('first sight, on the disk, 1 outstanding: sqlite', single[0]!, 'ms', {
    name: 'postgres',
    value: single[1]!,
  });
  report('first sights, 32 outstanding: sqlite', many[0]!, 'per s', { name: 'postgres', value: many[1]! });
}

/** Microseconds of CPU that a voucher takes in a running network, hold and log off the path as far as may be. */
async function requestCpu(): Promise<number> {
  const unlimited = { perMinute: 100_000_000, burst: 100_000_000 };
  const network = await startNetwork({
    directory: mkdtempSync(join(directory, 'network-')),
    agentProcesses: 1,
    signer: { draws: { perEndpoint: 100_000 } },
    coordinator: {
      limits: { authenticated: unlimited, unauthenticated: unlimited, target: unlimited, global: unlimited },
    },
  });
  try {
    const { webIntermediate } = network.pki;
    const chain = [serverCertificate(webIntermediate, { dns: ['www.shop.test'] }), webIntermediate] as const;
    const server = await tlsServer(chain, '127.20.0.9');
    const ca = readFileSync(network.files.httpsCa, 'utf8');
    const request = {
      ipv4: Uint8Array.of(127, 20, 0, 9),
      port: server.port,
      serverName: 'www.shop.test',
      chains: [chain.map(({ der }) => der)],
    };
    const pids = [network.coordinator.pid, network.signer.pid, network.nats.pid].concat([
      ...new Set(Array.from(network.agents.values(), ({ pid }) => pid)),
    ]);
    const used = () => pids.reduce((total, pid) => total + cpuSeconds(pid), 0);
    const ask = async (count: number) => {
      let left = count;
      let issued = 0;
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          while (left-- > 0) {
            const { results } = await requestVoucher(network.vrpUrl, request, { ca });
            if (results[0]!.status === 'issued') issued++;
          }
        }),
      );
      return issued;
    };
    await ask(200);
    const before = used();
    const issued = await ask(1_000);
    const micros = ((used() - before) * 1e6) / issued;
    await server.close();
    return micros;
  } finally {
    await network.stop();
  }
}

/** Seconds: ours, and those of the Postgres server's processes. */
function cpu(engine: string): { own: number; server: number } {
  const { user, system } = process.cpuUsage();
  const own = (user + system) / 1e6;
  if (engine === 'sqlite') return { own, server: 0 };
  const children = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && parentOf(pid) === postgres.pid);
  return { own, server: children.reduce((total, pid) => total + cpuSeconds(Number(pid)), 0) };
}

// proc(5): field 2 may hold spaces, so count from its closing parenthesis.
function fieldsOf(pid: number | string): string[] {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return [];
  const stat = readFileSync(file, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
function parentOf(pid: string): number {
  return Number(fieldsOf(pid)[1]);
}
function cpuSeconds(pid: number): number {
  const fields = fieldsOf(pid);
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100;
}
