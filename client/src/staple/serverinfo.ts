/**
 * OpenSSL's serverinfo files, by which an unpatched server sends private TLS extensions
 * (SSL_CTX_use_serverinfo_file(3)). PEM blocks, one extension each:
 *
 *   -----BEGIN SERVERINFOV2 FOR <anything>-----
 *   uint32 context; uint16 type; opaque data<0..2^16-1>;       big-endian
 *
 * The extension goes out if the client sent the same type, empty.
 */
import { StapleError } from './error.ts';

/**
 * ClientHello, TLS 1.2 ServerHello, TLS 1.3 Certificate of the end entity, and not in resumptions
 * (SSL_EXT_* of openssl/ssl.h): there the certificate is not sent either.
 */
const context = 0x11c0;
const headerOctets = 8;

/** Octets: what OpenSSL sends in one extension. */
export const maxExtensionOctets = 65_500;

export interface ServerInfo {
  /** TLS extension type. */
  readonly type: number;
  /** Empty: the client may ask, there is nothing. */
  readonly data: Uint8Array;
}

/**
 * Throws `StapleError` `too-large`. The order is that of the types, so that the same content gives the same
 * file.
 */
export function encodeServerInfo(extensions: readonly ServerInfo[]): string {
  return extensions
    .toSorted((a, b) => a.type - b.type)
    .map(({ type, data }) => {
      if (data.length > maxExtensionOctets) {
        throw new StapleError(
          'too-large',
          `extension ${type}: ${data.length} octets, where ${maxExtensionOctets} fit`,
        );
      }
      const header = Buffer.alloc(headerOctets);
      header.writeUInt32BE(context, 0);
      header.writeUInt16BE(type, 4);
      header.writeUInt16BE(data.length, 6);
      const lines = Buffer.concat([header, data])
        .toString('base64')
        .replace(/.{64}(?=.)/g, '$&\n');
      const label = `SERVERINFOV2 FOR EXTENSION ${type}`;
      return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
    })
    .join('');
}

const block = /-----BEGIN (SERVERINFO(?:V2)? FOR [^\n-]*)-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/**
 * What OpenSSL would send. Throws `StapleError` `bad-serverinfo` for what makes a server refuse the file: no
 * block, a wrong length, a type twice.
 */
export function decodeServerInfo(text: string): ServerInfo[] {
  const bad = (why: string) => new StapleError('bad-serverinfo', why);
  const found = [...text.matchAll(block)].map(([, label = '', body = '']) => {
    // Version 1 has no context.
    const bytes = Buffer.from(body, 'base64').subarray(label.startsWith('SERVERINFOV2') ? 4 : 0);
    if (bytes.length < 4 || bytes.readUInt16BE(2) !== bytes.length - 4) throw bad(`${label}: wrong length`);
    return { type: bytes.readUInt16BE(0), data: new Uint8Array(bytes.subarray(4)) };
  });
  const begun = text.match(/-----BEGIN /g)?.length ?? 0;
  if (found.length === 0 || begun !== found.length) throw bad('no serverinfo file');
  if (new Set(found.map(({ type }) => type)).size < found.length) throw bad('an extension type twice');
  return found;
}
