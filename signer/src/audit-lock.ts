import { DatabaseSync } from 'node:sqlite';
import { reasonOf } from '@mecai/runtime';
import { SignerError } from './error.ts';

/**
 * Keeps every other process away from the log, on this machine and wherever else the file can be reached from: the
 * lock that SQLite takes on a file beside it. The kernel lets go of it when the process dies, however that happens.
 *
 * @returns lets go of it
 * @throws SignerError `audit-log-unwritable`
 */
export function lockAuditLog(path: string): () => void {
  const file = `${path}.lock`;
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(file, { timeout: 0 });
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    lock?.close();
    const taken = /locked/.test(reasonOf(cause));
    const why = taken ? 'another signer has it open' : `${file}: ${reasonOf(cause)}`;
    throw new SignerError('audit-log-unwritable', `audit log ${path}: ${why}`, { cause });
  }
  const held = lock;
  return () => held.close();
}
