import { readFileSync } from 'node:fs';
import { type Certificate, type LogKey, PkiError, pemBlocks, pemCertificates, readLogKey } from '@mecai/pki';

/** @throws PkiError when there is none or one cannot be read; the system's error when the file is not there */
export function readCertificates(file: string): [Certificate, ...Certificate[]] {
  const [first, ...rest] = pemCertificates(readFileSync(file, 'utf8'));
  if (!first) throw new PkiError('malformed', `${file}: no certificate`);
  return [first, ...rest];
}

/** Public keys of CT logs, PEM. */
export function readLogKeys(file: string): LogKey[] {
  const keys = pemBlocks(readFileSync(file, 'utf8'), 'PUBLIC KEY');
  if (keys.length === 0) throw new PkiError('malformed', `${file}: no public key`);
  return keys.map(readLogKey);
}
