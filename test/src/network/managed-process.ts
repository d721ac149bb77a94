import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';

export interface ManagedProcess {
  readonly name: string;
  readonly pid: number;
  /** What it announced when it was ready. */
  readonly ready: Readonly<Record<string, string>>;
  /** Log so far. */
  log(): string;
  /** At once. SIGKILL resolves when it is gone. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** SIGHUP; resolves with what it says of the configuration that it reads again. */
  reload(): Promise<{ readonly msg: string; readonly changed?: readonly string[] }>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** Starts it again with the same arguments. */
  restart(): Promise<void>;
}

export interface ProcessOptions {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly readyWithinMs?: number;
  /** What starts it, such as `ip netns exec <name>`. */
  readonly command?: readonly string[];
}

/** They end with this process by themselves, but not while they start, nor while they are paused. */
const living = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** Starts one of our processes on this runtime and waits for its word that it is ready. */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  let running = await start(options);
  return {
    name: options.name,
    get pid() {
      return running.child.pid!;
    },
    get ready() {
      return running.ready;
    },
    log: () => readFileSync(options.logFile, 'utf8'),
    async signal(signal) {
      running.child.kill(signal);
      if (signal === 'SIGKILL') await running.exited;
    },
    async reload() {
      const told = () => readFileSync(options.logFile, 'utf8').split('\n').filter(isReload);
      const before = told().length;
      running.child.kill('SIGHUP');
      for (let waited = 0; waited < 30_000; waited += 25) {
        const line = told()[before];
        if (line !== undefined) return JSON.parse(line) as { msg: string; changed?: string[] };
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error(`${options.name} does not reload`);
    },
    stop() {
      running.child.kill('SIGTERM');
      return running.exited;
    },
    async restart() {
      running.child.kill('SIGTERM');
      await running.exited;
      running = await start(options);
    },
  };
}

/** A whole line of the log. */
const isReload = (line: string) => /"msg":"(not reloaded|configuration reloaded).*\}$/.test(line);

interface RunningProcess {
  readonly child: ChildProcess;
  readonly ready: Record<string, string>;
  readonly exited: Promise<number | null>;
}

async function start(options: ProcessOptions): Promise<RunningProcess> {
  const { name, script, args, logFile, environment, readyWithinMs = 30_000, command = [] } = options;
  const [program, ...words] = [
    ...command,
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    // As the launchers of the packages have it: see scripts/package.mjs.
    '--single-threaded-gc',
    '--max-semi-space-size=32',
    script,
    ...args,
  ];
  const child = spawn(program!, words, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...environment },
  });
  const file = createWriteStream(logFile, { flags: 'a' });
  child.stdout!.pipe(file, { end: false });
  child.stderr!.pipe(file, { end: false });
  living.add(child);
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  void exited.then(() => living.delete(child));
  const ready = await new Promise<Record<string, string>>((resolve, reject) => {
    const failed = (what: string) => {
      child.kill('SIGKILL');
      // What it wrote last may still be in the pipe.
      setImmediate(() => {
        const log = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
        reject(new Error(`${name} ${what}; its log ends:\n${log}`));
      });
    };
    const timer = setTimeout(() => failed(`is not ready after ${readyWithinMs} ms`), readyWithinMs);
    const early = (code: number | null, signal: string | null) => {
      clearTimeout(timer);
      failed(`ended with ${code ?? signal}`);
    };
    child.once('exit', early);
    child.once('message', (message: { ready: Record<string, string> }) => {
      clearTimeout(timer);
      child.off('exit', early);
      resolve(message.ready);
    });
  });
  return { child, ready, exited };
}
