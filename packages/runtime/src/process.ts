import { parseArgs } from 'node:util';
import { type Logger, destination, pino } from 'pino';
import { RuntimeError } from './error.ts';

export type { Logger } from 'pino';

export interface Running {
  /** What a starter of this process wants to know: its URLs and the like. */
  readonly ready: Readonly<Record<string, unknown>>;
  /**
   * Reads the configuration again, see `Settings.reload`.
   *
   * @returns the options that changed
   */
  reload?(): Promise<readonly string[]>;
  /** Ends everything in order; the process exits when it is done. */
  stop(): Promise<void>;
}

export interface Start {
  readonly log: Logger;
  /** File given by `--config`. */
  readonly config: string;
  readonly environment: NodeJS.ProcessEnv;
  /** For what cannot be recovered from: logs and ends the process with exit code 1. */
  readonly fail: (error: unknown) => void;
}

/** JSON lines on standard output. */
export const createLogger = (name: string, level = 'info'): Logger =>
  pino(
    { name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ dest: 1, sync: true }),
  );

/** A child that is kept: its level follows that of its parent, which a reload may change. */
export function keptChild(log: Logger, members: Readonly<Record<string, string>>): Logger {
  const child = log.child(members);
  // As many as there are signers; none is a leak.
  log.setMaxListeners(0);
  log.on('level-change', (level, _value, _before, _valueBefore, changed) => {
    if (changed === log) child.level = level;
  });
  return child;
}

/**
 * The whole of a `main.ts`: `--config`, logging, SIGHUP (reload), SIGTERM and SIGINT, exit codes (0 stopped in order,
 * 1 failed, 2 misconfigured). A parent with an IPC channel is sent `{ ready }` once the process serves.
 */
export async function runProcess(
  name: string,
  start: (context: Start) => Promise<Running>,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const { config, level } = options(name, args);
  const log = createLogger(name, level);
  let stopping = false;
  const fail = (error: unknown) => {
    log.fatal({ err: error }, 'failed');
    process.exit(1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  // One that comes while it starts may come after the configuration was read.
  let hangUps = 0;
  const hungUp = () => void hangUps++;
  process.on('SIGHUP', hungUp);
  try {
    const running = await start({ log, config, environment: process.env, fail });
    process.on('SIGHUP', () => void reloaded(running, log)).off('SIGHUP', hungUp);
    if (hangUps > 0) void reloaded(running, log);
    const stop = (signal: string) => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, 'stopping');
      running.stop().then(() => process.exit(0), fail);
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
    // A parent that is gone will never say stop.
    process.on('disconnect', () => stop('disconnect'));
    log.info(running.ready, 'ready');
    process.send?.({ ready: running.ready });
  } catch (error) {
    if (error instanceof RuntimeError) {
      log.fatal(error.message);
      process.exit(2);
    }
    fail(error);
  }
}

export interface Task extends Omit<Start, 'fail'> {
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
}

/** As `runProcess`, for what comes to an end by itself: exit code 0 then, 1 failed, 2 misconfigured. */
export async function runTask(
  name: string,
  task: (context: Task) => Promise<void>,
  args: readonly string[],
): Promise<void> {
  const { config, level } = options(name, args);
  const log = createLogger(name, level);
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => ending.abort(new Error(`ended by ${signal}`)));
  }
  try {
    await task({ log, config, environment: process.env, signal: ending.signal });
  } catch (error) {
    log.fatal(error instanceof Error ? error.message : String(error));
    process.exitCode = error instanceof RuntimeError ? 2 : 1;
  }
}

/** Never rejects: a configuration that is not good changes nothing. */
async function reloaded(running: Running, log: Logger): Promise<void> {
  try {
    const changed = await running.reload?.();
    log.info({ changed }, 'configuration reloaded');
  } catch (error) {
    if (error instanceof RuntimeError) log.error({ code: error.code }, `not reloaded: ${error.message}`);
    else log.error({ err: error }, 'not reloaded');
  }
}

function options(name: string, args: readonly string[]): { config: string; level: string } {
  let wrong: unknown;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: 'string' },
        'log-level': { type: 'string', default: 'info' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(`usage: ${name} --config <file.json> [--log-level trace|debug|info|warn|error]`);
      process.exit(0);
    }
    if (values.config === undefined) throw new Error('--config <file.json> is missing');
    return { config: values.config, level: values['log-level'] };
  } catch (error) {
    wrong = error;
  }
  console.error(`${name}: ${(wrong as Error).message}`);
  return process.exit(2);
}
