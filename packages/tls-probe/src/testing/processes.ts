import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { delimiter, join } from 'node:path';

/** Server programs live in sbin, which is not in everybody's path. */
const searched = [...'/usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin'.split(' ')];

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

export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function accepts(port: number, host: string): Promise<boolean> {
  const socket = connect(port, host);
  const settled = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  const accepted = await settled;
  socket.destroy();
  return accepted;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Programs a test file starts, and ends again. */
export class Processes {
  readonly #running: { child: ChildProcess; stop: string[] | undefined }[] = [];

  /**
   * Starts a server and waits until it listens.
   * @param stop a command that ends it, for servers that leave the foreground; else it is sent SIGTERM
   */
  async serve(
    command: string,
    args: readonly string[],
    port: number,
    options: {
      cwd?: string;
      env?: Record<string, string>;
      host?: string;
      uid?: number;
      gid?: number;
      stop?: string[];
    } = {},
  ): Promise<void> {
    const { host = '127.0.0.1', stop, env, ...spawning } = options;
    const child = spawn(command, args, {
      ...spawning,
      env: { PATH: searched.join(delimiter), LANG: 'C', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => (output += error.message));
    this.#running.push({ child, stop });
    const until = performance.now() + 20_000;
    while (!(await accepts(port, host))) {
      const gone = child.exitCode !== null && !stop;
      if (gone || performance.now() > until)
        throw new Error(`${command} does not listen on ${port}: ${output}`);
      await pause(15);
    }
  }

  /** Ends all, and waits until they have. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#running.splice(0).map(async ({ child, stop }) => {
        if (stop) execFileSync(stop[0]!, stop.slice(1), { stdio: 'ignore' });
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        const killer = setTimeout(() => child.kill('SIGKILL'), 3_000);
        await ended;
        clearTimeout(killer);
      }),
    );
  }
}
