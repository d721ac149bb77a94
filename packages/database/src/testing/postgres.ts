/** A Postgres of our own for tests, benches and the demo: Debian's binaries, a cluster in a directory of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@mecai/addresses/testing';
import pg from 'pg';
import type { DatabaseConfig } from '../open.ts';
import { withPassword } from '../postgres.ts';

export interface PostgresServer {
  readonly pid: number;
  /** Makes an empty database. */
  fresh(): Promise<DatabaseConfig>;
  /** Fills what is left of its disk; call what comes back to free it again. */
  fill(): Promise<() => Promise<void>>;
  /** SIGKILL, as if the machine went down. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  /** Waits for the disk at each commit, as in production; off in tests, which outlive no power cut. */
  readonly fsync?: boolean;
  /** Further settings for the server. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Where it listens, what starts it there (such as `ip netns exec <name>`, as root), and who may connect. */
  readonly place?: {
    readonly address: string;
    readonly command: readonly string[];
    readonly clients: string;
  };
  /** A disk of its own of so many megabytes, seen by the server alone; what is on it is lost when that ends. */
  readonly diskMegabytes?: number;
}

/** Within namespaces of its own, where nobody need be root to mount; Postgres must not even seem to be. */
const withDisk = (megabytes: number, data: string) => [
  'unshare',
  '--map-root-user',
  '--mount',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${megabytes}m,mode=0700 tmpfs /mnt && cp -a "$0/." /mnt && mount --bind /mnt "$0" &&
    exec unshare --map-user=1 --map-group=1 "$@"`,
  data,
];

const versions = '/usr/lib/postgresql';

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const bin = binaries();
  const user = unprivileged();
  const directory = mkdtempSync(join(tmpdir(), 'mecai-postgres-'));
  let server: ChildProcess | undefined;
  const remove = () => {
    server?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  };
  process.once('exit', remove);
  const data = join(directory, 'data');
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user) for (const file of [directory, passwordFile]) chownSync(file, user.uid, user.gid);
  execFileSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'mecai', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8'].concat([
      '--locale',
      'C',
      '--no-sync',
    ]),
    { stdio: 'pipe', ...user },
  );
  const { address, command, clients } = options.place ?? { address: '127.0.0.1', command: [] };
  if (clients !== undefined) {
    appendFileSync(join(data, 'pg_hba.conf'), `host all all ${clients} scram-sha-256\n`);
  }
  // In a place of its own the port is free.
  const port = command.length > 0 ? 5432 : await freePort(address);
  const settings = {
    listen_addresses: address,
    port: String(port),
    unix_socket_directories: '',
    fsync: options.fsync ? 'on' : 'off',
    ...options.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const launch = () => {
    const disk = options.diskMegabytes === undefined ? [] : withDisk(options.diskMegabytes, data);
    server = launched([...command, ...disk, join(bin, 'postgres'), '-D', data, ...args], user);
    return up(server);
  };
  await launch();
  const configOf = (name: string): DatabaseConfig => ({
    engine: 'postgres',
    url: `postgres://mecai@${address}:${port}/${name}`,
    passwordFile,
    connections: 10,
  });
  const asSuperuser = async (statement: string) => {
    const client = new pg.Client(withPassword(`postgres://mecai@${address}:${port}/postgres`, password));
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  let made = 0;
  const end = async (signal: NodeJS.Signals) => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill(signal);
    await exited;
  };
  return {
    get pid() {
      return server!.pid!;
    },
    async fresh() {
      const name = `fresh_${++made}`;
      await asSuperuser(`create database ${name}`);
      return configOf(name);
    },
    async fill() {
      const lines = async (count: number) =>
        await asSuperuser(
          `copy (select repeat('x', 65536) from generate_series(1, ${count})) to '${join(data, 'filler')}'`,
        );
      const failure = await lines(16 * (options.diskMegabytes ?? 0)).then(
        () => 'written',
        (error: Error) => error.message,
      );
      if (!/No space left/.test(failure)) throw new Error(`the disk is not full: ${failure}`);
      return () => lines(0);
    },
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGINT');
      await launch();
    },
    async stop() {
      // "Fast shutdown": does not wait for clients.
      await end('SIGINT');
      process.off('exit', remove);
      remove();
    },
  };
}

function launched(words: readonly string[], user: { uid: number; gid: number } | undefined): ChildProcess {
  // Only root enters a place, and becomes another there.
  const enters = user !== undefined && words[0] === 'ip';
  const become = ['setpriv', `--reuid=${user?.uid}`, `--regid=${user?.gid}`, '--clear-groups'];
  const [program, ...args] = enters ? words.toSpliced(4, 0, ...become) : words;
  return spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'], ...(!enters && user) });
}

/** Resolves when it serves. */
function up(child: ChildProcess): Promise<void> {
  let log = '';
  return new Promise((resolve, reject) => {
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-10_000);
      if (log.includes('database system is ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`Postgres did not come up:\n${log}`)));
  });
}

function binaries(): string {
  const found = existsSync(versions) ? readdirSync(versions).filter((name) => /^\d+$/.test(name)) : [];
  const newest = found.map(Number).toSorted((a, b) => b - a)[0];
  if (newest === undefined) {
    throw new Error('Postgres is not installed: apt-get install postgresql (Debian, Ubuntu)');
  }
  return join(versions, String(newest), 'bin');
}

/** Postgres refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (which: string) => Number(execFileSync('id', [which, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
