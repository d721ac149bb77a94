/** Turns a root program's own list into a trust context that the signer reads. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ImportedContext,
  importCertdata,
  importChromeRootStore,
  importMicrosoftList,
  indexCertificates,
  pemCertificates,
  saveTrustContext,
  type TrustAnchor,
} from '@mecai/pki';
import { SignerError } from './error.ts';

export interface TrustContextSource {
  readonly context?: string;
  /** Files; one list. */
  readonly certdata?: string;
  readonly chrome?: string;
  readonly microsoft?: string;
  /** PEM, for lists that name their roots by hash only. */
  readonly certificates?: string;
  /** Version of Chrome that the context stands for. */
  readonly 'chrome-version'?: string;
  /** File with the dates of Microsoft's roots in status NotBefore: lines of SHA-256, comma, time in ISO 8601. */
  readonly 'not-before'?: string;
}

/**
 * Writes the context's anchors and constraints, in the place of those of an earlier import, and says what became of
 * each root. The signer reads them when it starts.
 *
 * @throws SignerError `wrong-usage`; PkiError for what is no such list
 */
export async function importTrustContext(directory: string, source: TrustContextSource): Promise<void> {
  const { context: id } = source;
  if (id === undefined) throw misused('--context <TCI> is missing');
  const { context, skipped } = imported(id, source);
  // Other anchors there would be in the context, too, and without constraints.
  const others = filesIn(join(directory, id)).filter((name) => !written.includes(name));
  if (others.length > 0) throw misused(`${join(directory, id)} has other files: ${others.join(', ')}`);
  if (context.anchors.length === 0) throw misused('the list has no root that could be imported');
  await saveTrustContext(directory, context);
  const constrained = context.anchors.filter(({ constraints }) => constraints);
  console.log(`${id}: ${context.anchors.length} roots, ${constrained.length} of them with constraints`);
  for (const [kind, count] of countKinds(constrained)) console.log(`constraint ${kind}: ${count}`);
  const reasons = new Map<string, number>();
  for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  for (const [reason, count] of reasons) console.log(`left out: ${count}, ${reason}`);
}

/** Roots by kind of constraint. */
function countKinds(anchors: readonly TrustAnchor[]): [string, number][] {
  const kinds = anchors.flatMap(({ constraints = [] }) => [...new Set(constraints.flatMap(Object.keys))]);
  return [...new Set(kinds)].map((kind) => [kind, kinds.filter((one) => one === kind).length]);
}

/** What `saveTrustContext` writes. */
const written = ['anchors.pem', 'context.json'];

function imported(id: string, source: TrustContextSource): ImportedContext {
  const { certdata, chrome, microsoft, certificates } = source;
  const { 'chrome-version': version, 'not-before': dates } = source;
  if (version !== undefined && chrome === undefined) throw misused('--chrome-version goes with --chrome');
  if (version !== undefined && !/^\d+(\.\d+)*$/.test(version)) throw misused('--chrome-version: such as 131');
  if (dates !== undefined && microsoft === undefined) throw misused('--not-before goes with --microsoft');
  if ([certdata, chrome, microsoft].filter((file) => file !== undefined).length !== 1) {
    throw misused('one of --certdata, --chrome, --microsoft');
  }
  if (certdata !== undefined) return importCertdata(readFileSync(certdata, 'utf8'), id);
  if (certificates === undefined)
    throw misused('--certificates <bundle.pem> is missing: the list has hashes only');
  const index = indexCertificates(pemCertificates(readFileSync(certificates, 'utf8')));
  return chrome !== undefined
    ? importChromeRootStore(readFileSync(chrome, 'utf8'), id, index, version === undefined ? {} : { version })
    : importMicrosoftList(readFileSync(microsoft!, 'utf8'), id, index, {
        ...(dates !== undefined && { notBefore: readDates(dates) }),
      });
}

function readDates(file: string): Map<string, Date> {
  const lines = readFileSync(file, 'utf8').split(/\r?\n/);
  return new Map(
    lines.flatMap((line, i): [string, Date][] => {
      if (line.trim() === '') return [];
      const [, sha256, text = ''] = /^([0-9a-f]{64}),(\d{4}-\d\d-\d\d(?:T.*Z)?)$/i.exec(line) ?? [];
      const date = new Date(text);
      if (sha256 === undefined || Number.isNaN(date.getTime())) {
        throw misused(`${file}: line ${i + 1} is not a SHA-256, a comma and a time such as 2026-01-31`);
      }
      return [[sha256.toLowerCase(), date]];
    }),
  );
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

const misused = (why: string) => new SignerError('wrong-usage', why);
