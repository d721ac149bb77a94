/** Values of command-line options. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { usageError } from './usage.ts';

/** `parseArgs`, whose complaints become usage errors. */
export function parseOptions<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    if (error instanceof TypeError) throw usageError(error.message);
    throw error;
  }
}

export function required<T>(value: T | undefined, option: string): T {
  if (value === undefined) throw usageError(`${option} is missing`);
  return value;
}

export function integerOption(text: string, option: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw usageError(`${option}: a number from ${least} to ${most}, not ${JSON.stringify(text)}`);
  }
  return value;
}

/** The only positional argument. */
export function onlyFile(positionals: readonly string[]): string {
  const [file, ...more] = positionals;
  if (file === undefined) throw usageError('the voucher file is missing');
  if (more.length > 0) throw usageError(`one file at a time, not ${more.join(' ')} as well`);
  return file;
}
