/**
 * Microsoft's root list as the CCADB publishes it: CSV (RFC 4180) with a line of column names. Roots are named
 * by SHA-256; the certificates come from elsewhere.
 */
import { PkiError } from './error.ts';
import type { CertificateIndex, ImportedContext, SkippedRoot } from './import.ts';
import { assertTci, type TrustAnchor } from './trust-context.ts';

export interface MicrosoftImportOptions {
  /**
   * The dates of roots in status NotBefore, by SHA-256 (hexadecimal): certificates issued after them are not
   * trusted. The list does not have the dates, so without one such a root is left out.
   */
  readonly notBefore?: ReadonlyMap<string, Date>;
}

const columns = {
  status: 'Microsoft Status',
  sha256: 'SHA-256 Fingerprint',
  purposes: 'Microsoft EKUs',
} as const;

/** Throws `malformed`. */
export function importMicrosoftList(
  csv: string,
  id: string,
  certificates: CertificateIndex,
  options: MicrosoftImportOptions = {},
): ImportedContext {
  assertTci(id);
  const [header, ...rows] = parseCsv(csv);
  const column = (name: string) => {
    const index = header?.indexOf(name) ?? -1;
    if (index < 0) throw new PkiError('malformed', `Microsoft list: no column ${name}`);
    return index;
  };
  const [status, fingerprint, purposes] = [columns.status, columns.sha256, columns.purposes].map(column);
  const anchors: TrustAnchor[] = [];
  const skipped: SkippedRoot[] = [];
  for (const row of rows) {
    const sha256 = (row[fingerprint!] ?? '').toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new PkiError('malformed', 'Microsoft list: fingerprint');
    const state = row[status!];
    const certificate = certificates.get(sha256);
    const until = options.notBefore?.get(sha256);
    if (state !== 'Included' && state !== 'NotBefore') skipped.push({ sha256, reason: `status ${state}` });
    else if (!(row[purposes!] ?? '').split(';').includes('Server Authentication')) {
      skipped.push({ sha256, reason: 'not trusted for TLS servers' });
    } else if (state === 'NotBefore' && !until) {
      skipped.push({ sha256, reason: 'status NotBefore without a date' });
    } else if (!certificate) skipped.push({ sha256, reason: 'the certificate is not at hand' });
    else
      anchors.push({
        certificate,
        ...(state === 'NotBefore' && until && { constraints: [{ notBeforeUntil: until }] }),
      });
  }
  return { context: { id, anchors, listed: true }, skipped };
}

/** Records of fields; quotes double inside quotes. Throws `malformed`. */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;
  let record: string[] = [];
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (!match) throw new PkiError('malformed', `CSV: record ${records.length + 1}`);
    const [, raw = '', separator] = match;
    record.push(raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw);
    if (separator !== ',') {
      records.push(record);
      record = [];
    } else if (field.lastIndex === text.length) records.push([...record, '']);
  }
  return records.filter((fields) => fields.length > 1 || fields[0] !== '');
}
