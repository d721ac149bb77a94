import { X509Certificate } from 'node:crypto';
import { cut, hex, sha256 } from './fields.ts';
import type { CertificateFacts } from './rows.ts';

const maxNames = 2000;
const maxText = 4096;

/**
 * What analytics shows of a certificate. Servers under attack and attackers send what they like: what cannot be
 * read is kept all the same, with the fault.
 */
export function certificateFacts(der: Uint8Array, fingerprint: string): CertificateFacts {
  const unread = {
    fingerprint,
    subject: '',
    issuer: '',
    serial: '',
    not_before: null,
    not_after: null,
    dns_names: [],
    spki: '',
    key: '',
    fault: '',
    der_base64: Buffer.from(der).toString('base64'),
  };
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (error) {
    return { ...unread, fault: message(error) };
  }
  // Reads on after what comes first: trailing bytes would make one certificate of many.
  if (certificate.raw.length !== der.length) return { ...unread, fault: 'trailing octets' };
  return {
    ...unread,
    ...key(certificate),
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    serial: certificate.serialNumber.toLowerCase(),
    not_before: seconds(certificate.validFromDate),
    not_after: seconds(certificate.validToDate),
    dns_names: dnsNames(certificate.subjectAltName ?? ''),
  };
}

function key(certificate: X509Certificate): Partial<CertificateFacts> {
  try {
    const { publicKey } = certificate;
    const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
    return {
      spki: hex(sha256(publicKey.export({ format: 'der', type: 'spki' }))),
      key: [publicKey.asymmetricKeyType ?? 'unknown', modulusLength ?? namedCurve].filter(Boolean).join('-'),
    };
  } catch (error) {
    return { fault: message(error) };
  }
}

const message = (error: unknown) => (error instanceof Error ? cut(200, error.message) : 'unreadable');

/** OpenSSL gives one attribute a line. */
const oneLine = (name: string | undefined) => cut(maxText, (name ?? '').replaceAll('\n', ', '));

function seconds(date: Date | undefined): number | null {
  const ms = date?.getTime() ?? Number.NaN;
  return ms >= Date.UTC(1900, 0) && ms < Date.UTC(2299, 0) ? Math.floor(ms / 1000) : null;
}

/** `DNS:a.example, DNS:"with, comma", IP Address:…`: quoted as JSON where there could be doubt. */
function dnsNames(subjectAltName: string): string[] {
  const names: string[] = [];
  const entry = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/g;
  for (const [, kind, value] of subjectAltName.matchAll(entry)) {
    if (kind !== 'DNS' || names.length >= maxNames) continue;
    names.push(cut(maxText, value!.startsWith('"') ? unquoted(value!) : value!));
  }
  return names;
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
