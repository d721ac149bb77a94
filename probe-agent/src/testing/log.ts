import { type Logger, createLogger } from '@mecai/runtime';

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error' | 'fatal';
  readonly members: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A logger that keeps what it is told instead of writing it. */
export function keptLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = createLogger('test', 'silent');
  for (const level of ['info', 'warn', 'error', 'fatal'] as const) {
    log[level] = (first: string | object, second = '') => {
      if (typeof first === 'string') lines.push({ level, members: {}, message: first });
      else lines.push({ level, members: { ...first }, message: second });
    };
  }
  return { log, lines };
}
