/** Files of a server's configuration, read within limits. */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { StapleError } from '../error.ts';

export interface SourceFiles {
  /** Throws `StapleError` `unreadable-file`. */
  read(path: string): string;
  /** Paths that a pattern of `glob`(7) matches, sorted; a directory is one of them. */
  glob(pattern: string): string[];
  isDirectory(path: string): boolean;
}

const maxOctets = 8 * 1024 * 1024;

export const diskFiles: SourceFiles = {
  read(path) {
    try {
      const { size } = statSync(path);
      if (size > maxOctets) throw new Error(`${size} octets`);
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw new StapleError('unreadable-file', `cannot read ${path}: ${(cause as Error).message}`, { cause });
    }
  },
  glob: (pattern) => globbed(pattern, listing, exists),
  isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
};

function listing(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // Not there, or no directory: nothing matches.
    return [];
  }
}

const exists = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** As glob(7): `*`, `?` and `[…]` within a name; a leading dot only matches literally. */
export function globbed(
  pattern: string,
  list: (directory: string) => readonly string[],
  exists: (path: string) => boolean,
): string[] {
  if (!isGlob(pattern)) return exists(pattern) ? [pattern] : [];
  const parent = dirname(pattern);
  const name = pattern.slice(parent === '/' ? 1 : parent.length + 1);
  const parents = parent === pattern || !isGlob(parent) ? [parent] : globbed(parent, list, exists);
  if (!isGlob(name)) return parents.map((one) => join(one, name)).filter(exists);
  const matches = namePattern(name);
  return parents
    .flatMap((one) =>
      list(one)
        .filter((entry) => matches.test(entry))
        .map((entry) => join(one, entry)),
    )
    .toSorted();
}

export const isGlob = (text: string): boolean => /[*?[]/.test(text);

function namePattern(name: string): RegExp {
  const body = name.replace(/\[[!^]?\]?[^\]]*\]|[*?]|[^*?[]+|\[/g, (part) => {
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.length > 2 && part.startsWith('[')) {
      const negated = /^\[[!^]/.test(part);
      const set = part.slice(negated ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&');
      return `[${negated ? '^' : ''}${set}]`;
    }
    return part.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  });
  const hidden = name.startsWith('.') ? '' : '(?!\\.)';
  try {
    return new RegExp(`^${hidden}${body}$`);
  } catch {
    // A range that runs backwards matches nothing.
    return /(?!)/;
  }
}

/** A path of a configuration, from the directory that the server takes relative ones from. */
export const from = (directory: string, path: string): string =>
  isAbsolute(path) ? path : join(directory, path);
