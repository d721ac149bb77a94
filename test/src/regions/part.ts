/** One process of a layout, and what can happen to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { PostgresServer } from '@mecai/database/postgres-server';
import type { ManagedProcess } from '../network/index.ts';
import type { Place } from './fabric.ts';

export const kinds = ['nats', 'leaf', 'postgres', 'signer', 'coordinator', 'agent', 'analytics'] as const;
export type Kind = (typeof kinds)[number];

export interface Part {
  readonly name: string;
  readonly kind: Kind;
  readonly place: Place;
  /** Names of the agents in it. */
  readonly agents?: readonly string[];
  /** Its own, and those of its children. */
  pids(): readonly number[];
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Again, as its supervisor does; resolves when it is up. */
  start(): Promise<void>;
  /** In order. */
  stop(): Promise<unknown>;
}

/** SIGSTOP, SIGCONT: at once, to all of its processes. */
export function signalAll(part: Part, signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const pid of part.pids()) process.kill(pid, signal);
}

export function ourProcess(kind: Kind, place: Place, managed: ManagedProcess): Part {
  return {
    name: managed.name,
    kind,
    place,
    pids: () => [managed.pid],
    kill: () => managed.signal('SIGKILL'),
    start: () => managed.restart(),
    stop: async () => {
      // A paused one would not hear of it.
      await managed.signal('SIGCONT');
      return managed.stop();
    },
  };
}

export function postgresPart(place: Place, server: PostgresServer): Part {
  return {
    name: 'postgres',
    kind: 'postgres',
    place,
    pids: () => [server.pid, ...childrenOf(server.pid)],
    kill: () => server.kill(),
    start: () => server.restart(),
    stop: () => server.stop(),
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent ? [Number(pid)] : [];
    } catch {
      // Gone meanwhile.
      return [];
    }
  });
}

/** nats-server with this configuration file. It is up when it serves; a cluster needs longer to find its leaders. */
export async function natsPart(options: {
  name: string;
  kind: 'nats' | 'leaf';
  place: Place;
  config: string;
  logFile: string;
}): Promise<Part> {
  const { name, kind, place, config, logFile } = options;
  let child: ChildProcess;
  const start = async () => {
    const [program, ...words] = [...place.command, 'nats-server', '-c', config];
    child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    const own = child;
    const killed = () => own.kill('SIGKILL');
    process.once('exit', killed);
    own.once('exit', () => process.off('exit', killed));
    await new Promise<void>((resolve, reject) => {
      createInterface(own.stderr!).on('line', (line) => {
        appendFileSync(logFile, `${line}\n`);
        if (line.endsWith('Server is ready')) resolve();
      });
      own.once('error', reject);
      own.once('exit', () =>
        reject(new Error(`${name} did not come up: ${readFileSync(logFile, 'utf8').slice(-500)}`)),
      );
    });
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    // Not before its last line is in the log: whoever stops it may remove the directory.
    const gone = once(child, 'close');
    child.kill(signal);
    child.kill('SIGCONT');
    await gone;
  };
  await start();
  return {
    name,
    kind,
    place,
    pids: () => [child.pid!],
    kill: () => end('SIGKILL'),
    start: async () => {
      await end('SIGTERM');
      await start();
    },
    stop: () => end('SIGTERM'),
  };
}
