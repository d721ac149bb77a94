/**
 * Mozilla's root list as NSS keeps it (certdata.txt): blocks of `CKA_… type value` lines, octal for bytes.
 * A certificate object and a trust object belong together by issuer and serial number.
 */
import { type Certificate, parseCertificate } from './certificate.ts';
import { DerReader } from './der-reader.ts';
import * as der from './der-writer.ts';
import { PkiError } from './error.ts';
import type { ImportedContext, SkippedRoot } from './import.ts';
import { nameText } from './name.ts';
import type { TrustAnchor } from './trust-context.ts';
import { assertTci } from './trust-context.ts';
import { sha256 } from './vertex.ts';

type Attributes = Map<string, string | Uint8Array>;

/** Roots trusted for TLS servers, with their server-distrust-after dates. Throws `malformed`. */
export function importCertdata(text: string, id: string): ImportedContext {
  assertTci(id);
  const objects = readObjects(text);
  const trust = new Map<string, Attributes>();
  for (const object of objects) {
    if (object.get('CKA_CLASS') === 'CKO_NSS_TRUST') trust.set(identity(object), object);
  }
  const anchors: TrustAnchor[] = [];
  const skipped: SkippedRoot[] = [];
  for (const object of objects) {
    if (object.get('CKA_CLASS') !== 'CKO_CERTIFICATE') continue;
    const bytes = octets(object, 'CKA_VALUE');
    const state = trust.get(identity(object))?.get('CKA_TRUST_SERVER_AUTH');
    if (state !== 'CKT_NSS_TRUSTED_DELEGATOR') {
      skipped.push({ sha256: sha256(bytes), reason: 'not trusted for TLS servers' });
      continue;
    }
    let certificate: Certificate;
    try {
      certificate = parseCertificate(bytes);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      skipped.push({ sha256: sha256(bytes), reason: error.message });
      continue;
    }
    const after = object.get('CKA_NSS_SERVER_DISTRUST_AFTER');
    const constraints =
      after instanceof Uint8Array ? [{ notBeforeUntil: utcTime(after, certificate) }] : undefined;
    anchors.push({ certificate, ...(constraints && { constraints }) });
  }
  return { context: { id, anchors, listed: true }, skipped };
}

const identity = (object: Attributes): string =>
  ['CKA_ISSUER', 'CKA_SERIAL_NUMBER'].map((name) => Buffer.from(octets(object, name)).toString('hex')).join();

function octets(object: Attributes, name: string): Uint8Array {
  const value = object.get(name);
  if (!(value instanceof Uint8Array)) throw new PkiError('malformed', `certdata: an object without ${name}`);
  return value;
}

/** The thirteen characters of a UTCTime, without tag and length. */
function utcTime(value: Uint8Array, certificate: Certificate): Date {
  try {
    return new DerReader(der.tlv(0x17, value)).time();
  } catch (cause) {
    throw new PkiError('malformed', `certdata: distrust date of ${nameText(certificate.subject)}`, { cause });
  }
}

function readObjects(text: string): Attributes[] {
  const objects: Attributes[] = [];
  const lines = text.split(/\r?\n/);
  let current: Attributes | undefined;
  for (let at = 0; at < lines.length; at++) {
    const [, name = '', type, value = ''] = /^(CKA_\w+)\s+(\w+)(?:\s+(.*))?$/.exec(lines[at]!) ?? [];
    if (!type) continue;
    if (name === 'CKA_CLASS') objects.push((current = new Map()));
    if (type !== 'MULTILINE_OCTAL') {
      current?.set(name, value);
      continue;
    }
    const bytes: number[] = [];
    for (at++; lines[at] !== 'END'; at++) {
      const line = lines[at];
      if (line === undefined || !/^(\\[0-3][0-7]{2})*$/.test(line)) {
        throw new PkiError('malformed', `certdata: line ${at + 1} is not octal`);
      }
      for (const digits of line.split('\\').slice(1)) bytes.push(Number.parseInt(digits, 8));
    }
    current?.set(name, Uint8Array.from(bytes));
  }
  if (objects.length === 0) throw new PkiError('malformed', 'certdata: no object');
  return objects;
}
