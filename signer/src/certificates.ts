import { readFileSync } from 'node:fs';
import { type Certificate, PkiError, pemCertificates } from '@mecai/pki';

/** @throws PkiError when there is none or one cannot be read; the system's error when the file is not there */
export function readCertificates(file: string): [Certificate, ...Certificate[]] {
  const [first, ...rest] = pemCertificates(readFileSync(file, 'utf8'));
  if (!first) throw new PkiError('malformed', `${file}: no certificate`);
  return [first, ...rest];
}

export const toPem = (label: string, bytes: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;
