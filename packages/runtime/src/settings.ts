/** The configuration of a process that runs: read at the start, and again when the operator says so. */
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { loadConfig } from './config.ts';
import { RuntimeError } from './error.ts';
import type { Logger } from './process.ts';

/** Member of every process's configuration: takes the place of `--log-level`. */
export const logLevel = () => z.enum(['trace', 'debug', 'info', 'warn', 'error']).optional();

/** Makes ready what a new configuration needs, and returns what puts it in force, which does not fail. */
export type Prepare<Config> = (next: Config, before: Config) => (() => void) | Promise<() => void>;

interface Logging {
  readonly logLevel?: string | undefined;
}

export class Settings<Config extends Logging> {
  readonly #read: () => Config;
  readonly #changeable: readonly string[];
  readonly #log: Pick<Logger, 'level'>;
  readonly #levelAtStart: string;
  readonly #prepare: Prepare<Config>[] = [];
  #current: Config;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(read: () => Config, changeable: readonly string[], log: Pick<Logger, 'level'>) {
    this.#read = read;
    this.#changeable = ['logLevel', ...changeable];
    this.#log = log;
    this.#levelAtStart = log.level;
    this.#current = read();
    this.#setLevel();
  }

  /**
   * @param changeable dotted names of what may change while the process runs, with all that is below
   * @throws RuntimeError as `loadConfig`
   */
  static load<Schema extends z.ZodObject>(
    schema: Schema,
    {
      config,
      environment,
      log,
    }: { config: string; environment: NodeJS.ProcessEnv; log: Pick<Logger, 'level'> },
    changeable: readonly string[],
  ): Settings<z.output<Schema> & Logging> {
    return new Settings(() => loadConfig(schema, config, environment), changeable, log);
  }

  get current(): Config {
    return this.#current;
  }

  /** Asked in order before anything is in force: an error leaves all as it is. */
  onReload(prepare: Prepare<Config>): void {
    this.#prepare.push(prepare);
  }

  /**
   * Reads the configuration again. It is in force as a whole, or not at all.
   *
   * @returns the options that changed; what files that it names contain may have changed besides
   * @throws RuntimeError `bad-configuration`, `unreadable-file`; `needs-restart`, naming the options; what `onReload`
   *   throws
   */
  reload(): Promise<readonly string[]> {
    const turn = this.#turn.then(() => this.#reload());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #reload(): Promise<readonly string[]> {
    const next = this.#read();
    const changed = differences(this.#current, next);
    const fixed = changed.filter((name) => !this.#changeable.some((one) => `${name}.`.startsWith(`${one}.`)));
    if (fixed.length > 0) {
      throw new RuntimeError('needs-restart', `cannot change while it runs: ${fixed.join(', ')}; restart it`);
    }
    const commits: (() => void)[] = [];
    for (const prepare of this.#prepare) commits.push(await prepare(next, this.#current));
    this.#current = next;
    this.#setLevel();
    for (const commit of commits) commit();
    return changed;
  }

  #setLevel(): void {
    const level = this.#current.logLevel ?? this.#levelAtStart;
    if (this.#log.level !== level) this.#log.level = level;
  }
}

/** Dotted names of members that differ; a list differs as a whole. */
function differences(before: unknown, after: unknown, name = ''): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [name];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
    differences(before[key], after[key], name === '' ? key : `${name}.${key}`),
  );
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
