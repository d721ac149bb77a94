/** PEM (RFC 7468): the certificates of a text, whatever stands between them. */
import { type Certificate, parseCertificate } from './certificate.ts';
import { PkiError } from './error.ts';

const block =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END [A-Z0-9 ]*CERTIFICATE-----/g;

/** The DER of each block of this label. */
export function pemBlocks(text: string, label: string): Uint8Array[] {
  const pattern = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`, 'g');
  return [...text.matchAll(pattern)].map(([, body = '']) => Uint8Array.from(Buffer.from(body, 'base64')));
}

/** Every certificate of a PEM text. Throws `malformed` for a block that is no certificate. */
export function pemCertificates(text: string): Certificate[] {
  return [...text.matchAll(block)].map(([, body = ''], index) => {
    try {
      return parseCertificate(Uint8Array.from(Buffer.from(body, 'base64')));
    } catch (cause) {
      throw new PkiError('malformed', `PEM certificate ${index + 1}`, { cause });
    }
  });
}

/** 64 characters a line (RFC 7468 section 2). */
export function toPem(bytes: Uint8Array, label: string): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
