/** Trust contexts from a directory: `<directory>/<TCI>/*.pem`, any number of certificates in each file. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PkiError } from './error.ts';
import { pemCertificates } from './pem.ts';
import { assertTci, type TrustAnchor, type TrustContext } from './trust-context.ts';

/** A file of certificates larger than this is a mistake: all public roots together take 250 KB. */
const fileOctets = 16_777_216;

/** One context from the PEM files of a directory; its name is the TCI. Throws `configuration`. */
export async function loadTrustContext(directory: string, id: string): Promise<TrustContext> {
  assertTci(id);
  const anchors: TrustAnchor[] = [];
  const names = (await entries(directory)).filter((name) => /\.(pem|crt)$/.test(name));
  for (const name of names) {
    const path = join(directory, name);
    try {
      if ((await stat(path)).size > fileOctets) throw new PkiError('limit', 'the file is too large');
      anchors.push(...pemCertificates(await readFile(path, 'utf8')).map((certificate) => ({ certificate })));
    } catch (cause) {
      throw new PkiError('configuration', `trust context ${id}: ${name} cannot be read`, { cause });
    }
  }
  if (anchors.length === 0) throw new PkiError('configuration', `trust context ${id}: no certificate`);
  return { id, anchors };
}

/** Every context of a directory, in the order of their identifiers. Files beside the directories are ignored. */
export async function loadTrustContexts(directory: string): Promise<TrustContext[]> {
  const contexts: TrustContext[] = [];
  for (const id of await entries(directory)) {
    const path = join(directory, id);
    if (!id.startsWith('.') && (await stat(path)).isDirectory())
      contexts.push(await loadTrustContext(path, id));
  }
  return contexts;
}

async function entries(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).toSorted();
  } catch (cause) {
    throw new PkiError('configuration', 'trust directory cannot be read', { cause });
  }
}
