/** Files that a server may be reading at this moment: all or nothing, and on the disk before they count. */
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StapleError } from './error.ts';

/** Throws `StapleError` `unwritable-file`; then the file is as it was. */
export function writeAtomically(path: string, bytes: Uint8Array, mode: number): void {
  // In the same directory, or it could not be renamed; hidden, so that no include of `*` takes it.
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  try {
    // Left over from a crash, or put there by somebody: not written through.
    rmSync(temporary, { force: true });
    const file = openSync(temporary, 'wx', mode);
    try {
      fchmodSync(file, mode);
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    // The name is on the disk only with its directory.
    const directory = openSync(dirname(path), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new StapleError('unwritable-file', `cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Throws `StapleError` `unwritable-file`. */
export function ensureDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch (cause) {
    throw new StapleError('unwritable-file', `cannot make ${path}: ${(cause as Error).message}`, { cause });
  }
}

export function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
