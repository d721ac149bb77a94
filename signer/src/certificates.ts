import { readFileSync } from 'node:fs';
import { PkiError, parseCertificate } from '@mecai/pki';

/** DER of every certificate in PEM text; what is between them is passed over. */
export function pemCertificates(text: string): Uint8Array[] {
  return [...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)].map(
    ([, base64]) => Buffer.from(base64!, 'base64'),
  );
}

/** @throws PkiError when there is none or one cannot be read; the system's error when the file is not there */
export function readCertificates(file: string): [Uint8Array, ...Uint8Array[]] {
  const [first, ...rest] = pemCertificates(readFileSync(file, 'utf8'));
  if (!first) throw new PkiError('malformed', `${file}: no certificate`);
  for (const der of [first, ...rest]) parseCertificate(der);
  return [first, ...rest];
}

export const toPem = (label: string, bytes: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;
