import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '@mecai/addresses/testing';

export interface NatsUser {
  readonly name: string;
  /** `U…`, from `createUser().getPublicKey()` of @nats-io/nkeys. */
  readonly publicNkey: string;
  /** Subjects; an empty list allows none. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface NatsServerOptions {
  /** Holds configuration and store; made if absent. The same directory again brings the same streams back. */
  readonly directory: string;
  /** Absent: anybody may do everything. */
  readonly users?: readonly NatsUser[];
  /** PEM files; with it everything is over TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Absent: a free one, kept over restarts. */
  readonly port?: number;
  /** Bytes the streams may reserve on disk, 16 GiB by default; nothing is allocated ahead. */
  readonly jetstream?: { readonly maxFile?: number };
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** SIGKILL; returns at once, `restart` waits for the end. */
  kill(): void;
  /** SIGSTOP: connections stay open and nothing is answered. */
  pause(): void;
  resume(): void;
  /** Same port, same store; stops the server first if it runs. */
  restart(): Promise<void>;
}

/**
 * Starts a real nats-server on 127.0.0.1 with JetStream, nkey authentication and permissions per user. The
 * server ends with this process.
 *
 * What an acknowledgement of JetStream means: the message is in the server's file and outlives SIGKILL. From
 * 2.10 on the file is synced every second (`sync_interval`); 2.9 knows no such setting and syncs every two minutes.
 * A power cut can take that much.
 *
 * @throws Error when nats-server is not installed, or does not come up, with the end of its log
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const syncs = natsServerSyncs();
  mkdirSync(options.directory, { recursive: true });
  const port = options.port ?? (await freePort());
  let running = await start(options, port, syncs);
  return {
    url: `nats://${options.tls ? 'localhost' : '127.0.0.1'}:${port}`,
    port,
    get pid() {
      return running.child.pid!;
    },
    stop: () => running.end('SIGTERM'),
    kill: () => void running.child.kill('SIGKILL'),
    pause() {
      running.child.kill('SIGSTOP');
      while (!stopped(running.child.pid!));
    },
    resume: () => void running.child.kill('SIGCONT'),
    async restart() {
      await running.end('SIGTERM');
      running = await start(options, port, syncs);
    },
  };
}

interface RunningServer {
  readonly child: ChildProcess;
  end(signal: NodeJS.Signals): Promise<void>;
}

async function start(options: NatsServerOptions, port: number, syncs: boolean): Promise<RunningServer> {
  const file = join(options.directory, 'nats-server.conf');
  // The server's format includes JSON; quoted texts are taken literally, `$` and all.
  writeFileSync(file, JSON.stringify(configuration(options, port, syncs), undefined, 2));
  const child = spawn('nats-server', ['--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => resolve()).once('error', () => resolve()),
  );
  const killed = () => void child.kill('SIGKILL');
  process.once('exit', killed);
  void ended.then(() => process.off('exit', killed));
  await ready(child);
  return {
    child,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      // A paused server gets its signal only when it goes on.
      child.kill('SIGCONT');
      await ended;
    },
  };
}

const rule = (allowed: readonly string[]) => (allowed.length > 0 ? { allow: allowed } : { deny: ['>'] });

function configuration(
  { directory, users, jetstream, tls }: NatsServerOptions,
  port: number,
  syncs: boolean,
) {
  return {
    host: '127.0.0.1',
    port,
    jetstream: {
      store_dir: join(directory, 'store'),
      max_file_store: jetstream?.maxFile ?? 16 * 2 ** 30,
      ...(syncs && { sync_interval: '1s' }),
    },
    ...(tls && { tls: { cert_file: tls.certificate, key_file: tls.key } }),
    ...(users && {
      authorization: {
        users: users.map(({ publicNkey, publish, subscribe }) => ({
          nkey: publicNkey,
          permissions: { publish: rule(publish), subscribe: rule(subscribe) },
        })),
      },
    }),
  };
}

/** Once the server says that it serves. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const log: string[] = [];
    createInterface(child.stderr!).on('line', (line) => {
      if (log.push(line) > 20) log.shift();
      if (line.endsWith('Server is ready')) resolve();
    });
    child.once('error', (error) => reject(missing(error)));
    child.once('exit', () => reject(new Error(`nats-server did not come up:\n${log.join('\n')}`)));
  });
}

/**
 * As it says: `nats-server: v2.15.1`.
 *
 * @throws Error when nats-server is not installed
 */
export function natsServerVersion(): string {
  try {
    return execFileSync('nats-server', ['--version'], { encoding: 'utf8' }).trim();
  } catch (error) {
    throw missing(error);
  }
}

/** Whether it knows `sync_interval`. */
export const natsServerSyncs = (): boolean => isFrom(2, 10);

/** Whether a cluster of it keeps what it acknowledged when a leader is cut off. */
export const natsServerIsForClusters = (): boolean => isFrom(2, 15);

function isFrom(leastMajor: number, leastMinor: number): boolean {
  const [major, minor] = (/v?(\d+)\.(\d+)\./.exec(natsServerVersion()) ?? []).slice(1).map(Number);
  return major! > leastMajor || (major === leastMajor && minor! >= leastMinor);
}

/** Signals take effect thread by thread; elsewhere than on Linux there is nothing to look at. */
function stopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  return readdirSync(tasks).every((task) => {
    const state = readFileSync(join(tasks, task, 'stat'), 'utf8');
    return ['T', 'Z', 'X'].includes(state.slice(state.lastIndexOf(')') + 2)[0]!);
  });
}

const missing = (cause: unknown) =>
  cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    ? new Error('nats-server is not installed: apt-get install nats-server (Debian, Ubuntu)', { cause })
    : cause;
