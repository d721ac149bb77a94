import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { delimiter, join } from 'node:path';

/** Server programs live in sbin, which is not in everybody's path. */
const searched = '/usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin'.split(' ');

/**
 * The path of a program.
 * @throws when it is missing: a test that needs it must not pass without it
 */
export function program(
  name: string,
  debianPackage: string,
  directories: readonly string[] = searched,
): string {
  const found = directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`${name} is missing: apt-get install ${debianPackage}`);
  return found;
}

/** The port a server of this process got. */
export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen');
  return address.port;
}

async function accepts(port: number, host: string): Promise<boolean> {
  const socket = connect(port, host);
  const accepted = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return accepted;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Servers fork; each gets a process group, and the whole group ends. */
function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // The group is gone already.
  }
}

/** Programs a test file starts, and ends again. */
export class Processes {
  readonly #running: ChildProcess[] = [];

  constructor() {
    process.once('exit', () => {
      for (const child of this.#running) end(child, 'SIGKILL');
    });
  }

  /** Starts a server and waits until it listens on all of `ports`. */
  async serve(
    command: string,
    args: readonly string[],
    ports: number | readonly number[],
    options: { cwd?: string; env?: Record<string, string>; host?: string; uid?: number; gid?: number } = {},
  ): Promise<void> {
    const { host = '127.0.0.1', env, ...spawning } = options;
    const child = spawn(command, args, {
      ...spawning,
      detached: true,
      env: { PATH: searched.join(delimiter), LANG: 'C', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => (output += error.message));
    this.#running.push(child);
    const until = performance.now() + 20_000;
    for (const port of [ports].flat()) {
      while (!(await accepts(port, host))) {
        if (child.exitCode !== null || performance.now() > until) {
          throw new Error(`${command} does not listen on ${port}: ${output}`);
        }
        await pause(15);
      }
    }
  }

  /** Ends all, and waits until they have. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#running.splice(0).map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
        const ended = once(child, 'exit');
        end(child, 'SIGTERM');
        const killer = setTimeout(() => end(child, 'SIGKILL'), 3_000);
        await ended;
        clearTimeout(killer);
        end(child, 'SIGKILL');
      }),
    );
  }
}
