/**
 * Trust contexts in a directory: `<directory>/<TCI>/*.pem` (or .crt), any number of certificates in each file,
 * and beside them, optionally, `context.json`:
 *
 *   { "listed": true, "constraints": { "<SHA-256>": [ { "notBeforeUntil": "2025-04-15T23:59:59Z" } ] } }
 */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PkiError } from './error.ts';
import { nameText } from './name.ts';
import { pemCertificates, toPem } from './pem.ts';
import { assertTci, type ConstraintSet, type TrustAnchor, type TrustContext } from './trust-context.ts';
import { sha256 } from './vertex.ts';

/** A file larger than this is a mistake: all public roots together take 250 KB. */
const fileOctets = 16_777_216;
const settingsFile = 'context.json';

/** One context from a directory. Throws `configuration`. */
export async function loadTrustContext(directory: string, id: string): Promise<TrustContext> {
  assertTci(id);
  const names = await entries(directory);
  const settings = names.includes(settingsFile) ? await readSettings(directory, id) : undefined;
  const anchors: TrustAnchor[] = [];
  for (const name of names.filter((one) => /\.(pem|crt)$/.test(one))) {
    try {
      const certificates = pemCertificates(await readText(join(directory, name)));
      for (const certificate of certificates) {
        const constraints = settings?.constraints.get(sha256(certificate.der));
        anchors.push({ certificate, ...(constraints && { constraints }) });
      }
    } catch (cause) {
      throw new PkiError('configuration', `trust context ${id}: ${name} cannot be read`, { cause });
    }
  }
  if (anchors.length === 0) throw new PkiError('configuration', `trust context ${id}: no certificate`);
  return { id, anchors, ...(settings && { listed: settings.listed }) };
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

/** Writes a context as `loadTrustContexts` reads it, one file with all anchors: how an import is kept. */
export async function saveTrustContext(directory: string, context: TrustContext): Promise<void> {
  assertTci(context.id);
  const path = join(directory, context.id);
  await mkdir(path, { recursive: true });
  const pem = context.anchors.map(
    ({ certificate }) => `# ${nameText(certificate.subject)}\n${toPem(certificate.der, 'CERTIFICATE')}`,
  );
  await writeFile(join(path, 'anchors.pem'), pem.join('\n'));
  const constraints = Object.fromEntries(
    context.anchors.flatMap((anchor) =>
      anchor.constraints ? [[sha256(anchor.certificate.der), anchor.constraints] as const] : [],
    ),
  );
  const settings = { listed: context.listed ?? false, constraints };
  await writeFile(join(path, settingsFile), `${JSON.stringify(settings, undefined, 2)}\n`);
}

interface Settings {
  readonly listed: boolean;
  readonly constraints: ReadonlyMap<string, readonly ConstraintSet[]>;
}

async function readSettings(directory: string, id: string): Promise<Settings> {
  try {
    const json: unknown = JSON.parse(await readText(join(directory, settingsFile)));
    const { listed = false, constraints = {}, ...rest } = object(json);
    if (typeof listed !== 'boolean') throw new PkiError('malformed', 'listed is not true or false');
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined) throw new PkiError('malformed', `unknown setting ${unknown}`);
    const bySha256 = Object.entries(object(constraints)).map(([hash, sets]) => {
      if (!/^[0-9a-f]{64}$/.test(hash) || !Array.isArray(sets))
        throw new PkiError('malformed', `constraints of ${hash}`);
      return [hash, sets.map(readConstraintSet)] as const;
    });
    return { listed, constraints: new Map(bySha256) };
  } catch (cause) {
    throw new PkiError('configuration', `trust context ${id}: ${settingsFile} cannot be read`, { cause });
  }
}

const dateMembers: ReadonlySet<string> = new Set([
  'notBeforeUntil',
  'notBeforeAfter',
  'sctUntil',
  'sctAllAfter',
]);

function readConstraintSet(json: unknown): ConstraintSet {
  const members = Object.entries(object(json)).map(([name, value]) => {
    if (dateMembers.has(name) && typeof value === 'string' && !Number.isNaN(Date.parse(value))) {
      return [name, new Date(value)];
    }
    if (
      name === 'permittedDnsNames' &&
      Array.isArray(value) &&
      value.every((one) => typeof one === 'string')
    ) {
      return [name, value];
    }
    // A constraint that is not understood would be one that is not enforced.
    throw new PkiError('malformed', `constraint ${name}`);
  });
  return Object.fromEntries(members);
}

function object(json: unknown): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new PkiError('malformed', 'not an object');
  return { ...json };
}

async function readText(path: string): Promise<string> {
  if ((await stat(path)).size > fileOctets) throw new PkiError('limit', 'the file is too large');
  return readFile(path, 'utf8');
}

async function entries(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).toSorted();
  } catch (cause) {
    throw new PkiError('configuration', 'trust directory cannot be read', { cause });
  }
}
