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
  const reasons = new Map<string, number>();
  for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  for (const [reason, count] of reasons) console.log(`left out: ${count}, ${reason}`);
}

/** What `saveTrustContext` writes. */
const written = ['anchors.pem', 'context.json'];

function imported(id: string, source: TrustContextSource): ImportedContext {
  const { certdata, chrome, microsoft, certificates } = source;
  if ([certdata, chrome, microsoft].filter((file) => file !== undefined).length !== 1) {
    throw misused('one of --certdata, --chrome, --microsoft');
  }
  if (certdata !== undefined) return importCertdata(readFileSync(certdata, 'utf8'), id);
  if (certificates === undefined)
    throw misused('--certificates <bundle.pem> is missing: the list has hashes only');
  const index = indexCertificates(pemCertificates(readFileSync(certificates, 'utf8')));
  return chrome !== undefined
    ? importChromeRootStore(readFileSync(chrome, 'utf8'), id, index)
    : importMicrosoftList(readFileSync(microsoft!, 'utf8'), id, index);
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
