import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Counts } from '../queries.ts';
import type { FollowerStatus } from '../follower.ts';

type StreamStatus = FollowerStatus & { waiting: number | null; unacknowledged: number | null };

export interface Status {
  readonly store: boolean;
  readonly streams: { readonly observations: StreamStatus; readonly records: StreamStatus };
}

/** The analytics process itself, started from its configuration file. */
export interface AnalyticsProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** Where API and dashboard are, if they are served. */
  readonly api: string | undefined;
  /** What it logged so far, JSON lines. */
  readonly log: () => string;
  get<T>(path: string): Promise<T>;
  /** Asks until the answer is as wished. */
  until<T>(path: string, wished: (body: T, code: number) => boolean): Promise<T>;
  /** Until both streams are stored and acknowledged. */
  caughtUp(): Promise<Counts>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end; the exit code. */
  stop(): Promise<number | null>;
}

export async function startProcess(
  directory: string,
  config: Readonly<Record<string, unknown>>,
): Promise<AnalyticsProcess> {
  const file = join(directory, 'analytics.json');
  writeFileSync(file, JSON.stringify({ admin: '127.0.0.1:0', ...config }));
  const child = fork(new URL('../main.ts', import.meta.url), ['--config', file], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // As the launchers of the packages have it: see scripts/package.mjs.
    execArgv: ['--disable-warning=ExperimentalWarning', '--single-threaded-gc', '--max-semi-space-size=32'],
  });
  let log = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = once(child, 'exit');
  const message = await Promise.race([once(child, 'message'), ended.then(() => undefined)]);
  if (!message) throw new Error(`analytics did not start:\n${log}`);
  const [{ ready }] = message as [{ ready: { admin: string; api?: string } }];
  const ask = async <T>(path: string) => {
    const response = await fetch(ready.admin + path);
    return { code: response.status, body: (await response.json()) as T };
  };
  const until = async <T>(path: string, wished: (body: T, code: number) => boolean) => {
    for (;;) {
      const { body, code } = await ask<T>(path);
      if (wished(body, code)) return body;
      await delay(25);
    }
  };
  return {
    child,
    url: ready.admin,
    api: ready.api,
    log: () => log,
    get: async <T>(path: string) => (await ask<T>(path)).body,
    until,
    async caughtUp() {
      await until('/readyz', (_, code) => code === 200);
      await until<Status>('/status', ({ streams: { observations, records } }) =>
        [observations, records].every((stream) => stream.waiting === 0 && stream.unacknowledged === 0),
      );
      return (await ask<Counts>('/counts')).body;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return child.exitCode;
    },
  };
}

/** The engine behind HTTP, as a child process; port 0: a free one; without logins everybody may ask. */
export async function startClickHouse(
  directory: string,
  port = 0,
  ...logins: string[]
): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(new URL('clickhouse-server.ts', import.meta.url), [directory, String(port), ...logins]);
  const [message] = (await once(child, 'message')) as [{ port: number }];
  return { child, port: message.port };
}
