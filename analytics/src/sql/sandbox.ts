import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Logger } from '@mecai/runtime';
import { AnalyticsError } from '../error.ts';
import type { Store } from '../store.ts';
import { Turns } from '../turns.ts';
import { engineConfig, preparingUsers, readingUsers } from './engine-config.ts';
import type { SqlLimits } from './limits.ts';
import type { SqlReader } from './reader.ts';
import type { SandboxAnswer, SandboxRequest } from './sandbox-process.ts';
import { findTables, readOnlyTable } from './tables.ts';

/** Queries that wait for their turn, at most. */
const maxWaiting = 8;
/** What the engine is given beyond its own limit before it is killed. */
const graceMs = 2000;
/** The process ends when it was idle for so long. */
const idleMs = 60_000;

/**
 * Queries of users against the embedded engine: a second engine, in a process of its own, sees the same files
 * through a disk it cannot write to. There a query is checked, and run by a user that may only read. The process
 * starts with the first query and is killed when one takes too long, which nothing else notices.
 */
export class Sandbox implements SqlReader {
  readonly #limits: SqlLimits;
  readonly #log: Logger;
  readonly #directory: string;
  readonly #store: () => Store | undefined;
  readonly #turns = new Turns();
  #waiting = 0;
  #child: Promise<ChildProcess> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #id = 0;

  constructor(store: () => Store | undefined, limits: SqlLimits, log: Logger) {
    this.#store = store;
    this.#limits = limits;
    this.#log = log;
    this.#directory = mkdtempSync(join(tmpdir(), 'mecai-sql-'));
  }

  async run(query: string, format: string): Promise<Readable> {
    if (this.#waiting >= maxWaiting) throw new AnalyticsError('busy', 'too many queries are waiting');
    this.#waiting++;
    try {
      const result = await this.#turns.take(() => this.#run(query, format));
      return Readable.from([Buffer.from(result)]);
    } finally {
      this.#waiting--;
    }
  }

  async close(): Promise<void> {
    await this.#turns.over();
    await this.#end();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #run(query: string, format: string): Promise<Uint8Array> {
    clearTimeout(this.#idle);
    this.#child ??= this.#start();
    let child: ChildProcess;
    try {
      child = await this.#child;
    } catch (cause) {
      this.#child = undefined;
      throw cause instanceof AnalyticsError
        ? cause
        : new AnalyticsError('store-absent', 'the engine for queries does not start', { cause });
    }
    const answer = await this.#ask(child, { id: ++this.#id, query, format });
    this.#idle = setTimeout(() => void this.#end(), idleMs).unref();
    if ('result' in answer) {
      // What the engine counts leaves out most of what is the same in every row.
      if (answer.result.length > this.#limits.resultBytes)
        throw new AnalyticsError(
          'query-limit',
          `the result is longer than ${this.#limits.resultBytes} bytes`,
        );
      return answer.result;
    }
    throw new AnalyticsError(answer.code, answer.message);
  }

  async #ask(child: ChildProcess, request: SandboxRequest): Promise<SandboxAnswer> {
    const { id } = request;
    const over = new AbortController();
    const { signal } = over;
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#limits.seconds * 1000 + graceMs);
    try {
      child.send(request);
      const ended = once(child, 'exit', { signal }).then((): SandboxAnswer => {
        this.#child = undefined;
        this.#log.warn('a query took its engine along');
        return { id, code: 'query-limit', message: 'the query took too much, and was ended' };
      });
      const said = once(child, 'message', { signal }).then(([answer]) => answer as SandboxAnswer);
      ended.catch(() => {});
      said.catch(() => {});
      return await Promise.race([said, ended]);
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  async #start(): Promise<ChildProcess> {
    const store = this.#store();
    if (!store) throw new AnalyticsError('store-absent', 'the store is absent');
    const tables = await findTables(store);
    const at = (name: string) => join(this.#directory, name);
    const configured = (name: string, users: string) => {
      writeFileSync(at(`${name}-users.xml`), users);
      writeFileSync(at(`${name}.xml`), engineConfig(at(`${name}-users.xml`), '/'));
      return at(`${name}.xml`);
    };
    // The schema may have changed since the last time.
    rmSync(at('engine'), { recursive: true, force: true });
    const prepare = fork(
      program,
      [at('engine'), configured('prepare', preparingUsers), ...tables.map(readOnlyTable)],
      options(this.#directory),
    );
    const [code] = (await once(prepare, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`the engine for queries could not be prepared (${code})`);
    const child = fork(
      program,
      [at('engine'), configured('read', readingUsers(this.#limits))],
      options(this.#directory),
    );
    const gone = once(child, 'exit').then(() => undefined);
    if (!(await Promise.race([once(child, 'message'), gone])))
      throw new Error('the engine for queries ended');
    return child;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle);
    const child = await this.#child?.catch(() => undefined);
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

const program = new URL('sandbox-process.ts', import.meta.url);

/** No environment, where secrets may be; nothing to write to but its own directory. */
const options = (cwd: string): ForkOptions => ({
  cwd,
  env: {},
  execArgv: ['--disable-warning=ExperimentalWarning'],
  serialization: 'advanced',
  stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
});
