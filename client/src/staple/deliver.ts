/** Files brought to the server: written if they differ, tried, loaded, and put back if the server refuses. */
import { dirname } from 'node:path';
import { StapleError } from './error.ts';
import { contentOf, ensureDirectory, writeAtomically } from './files.ts';

export interface OutputFile {
  readonly path: string;
  readonly content: Uint8Array;
  /** Whether the server reads it only when it is loaded anew. */
  readonly needsReload: boolean;
}

export interface DeliveryOptions {
  readonly fileMode: number;
  /** Rejects with `StapleError` `reload-failed` when the command fails. */
  readonly run: (command: readonly string[]) => Promise<void>;
  readonly test?: readonly string[];
  readonly reload?: readonly string[];
  /** The last reload did not come about: it is owed even if nothing changes any more. */
  readonly owed: boolean;
}

export interface Delivery {
  /** Paths written. */
  readonly changed: readonly string[];
  readonly reloaded: boolean;
}

/**
 * Throws `StapleError`: `unwritable-file`; `reload-failed`, after which files that were there are as before. Files that are
 * read on each request are written first and stay.
 */
export async function deliver(files: readonly OutputFile[], options: DeliveryOptions): Promise<Delivery> {
  const { fileMode, run, test, reload, owed } = options;
  const changed = files
    .map((file) => ({ ...file, before: contentOf(file.path) }))
    .filter(({ content, before }) => !before?.equals(content));
  const loaded = changed.filter(({ needsReload }) => needsReload);
  const paths = changed.map(({ path }) => path);
  for (const { path, content, needsReload } of changed) {
    if (needsReload) continue;
    ensureDirectory(dirname(path), 0o755);
    writeAtomically(path, content, fileMode);
  }
  // Without a program to tell, there is only the delivery.
  const wanted = loaded.length > 0 || owed || (reload !== undefined && isHook(options, changed.length));
  if (!wanted) return { changed: paths, reloaded: false };
  const written: typeof loaded = [];
  try {
    for (const file of loaded) {
      ensureDirectory(dirname(file.path), 0o755);
      writeAtomically(file.path, file.content, fileMode);
      written.push(file);
    }
    if (test) await run(test);
    if (reload) await run(reload);
  } catch (error) {
    // What was not there before stays: a server that names it could not start without.
    for (const { path, before } of written) if (before) writeAtomically(path, before, fileMode);
    throw error;
  }
  return { changed: paths, reloaded: reload !== undefined };
}

/** A command without a test beside it delivers files elsewhere: every change concerns it. */
const isHook = ({ test }: DeliveryOptions, changes: number): boolean => test === undefined && changes > 0;

export const reloadFailed = (command: readonly string[], why: string, cause?: unknown): StapleError =>
  new StapleError('reload-failed', `${command.join(' ')}: ${why}`, { cause });
