/** The files that a server's configuration names: whether OpenSSL takes them, and who could change them. */
import { accessSync, constants, statSync, type Stats } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { StapleError } from './error.ts';
import { contentOf } from './files.ts';
import type { LintFinding } from './lint.ts';
import type { Place, Site } from './servers/site.ts';
import { decodeServerInfo } from './serverinfo.ts';

/** Octets: three of them, the certificates and the rest are to stay below the 60 KB that servers send. */
const largeOctets = 16_000;

export function fileFindings(sites: readonly Site[], codepoints: readonly number[]): LintFinding[] {
  const files = new Map<string, Place>();
  const keys = new Map<string, Place>();
  for (const site of sites) {
    for (const one of site.serverInfoFiles) files.set(one.path, files.get(one.path) ?? one);
    for (const { key } of site.keyPairs) if (key !== '') keys.set(key, keys.get(key) ?? site.place);
  }
  return [
    ...[...files]
      .filter(([path]) => isAbsolute(path))
      .flatMap(([path, place]) => serverInfoFile(path, place, codepoints)),
    ...[...keys].flatMap(([path, place]) => keyFile(path, place)),
  ];
}

function serverInfoFile(path: string, place: Place, codepoints: readonly number[]): LintFinding[] {
  const error = (code: LintFinding['code'], message: string): LintFinding => ({
    code,
    severity: 'error',
    place,
    message: `${path}: ${message}`,
  });
  const found = ownership(path).map((message) => error('permissions', message));
  const content = contentOf(path);
  if (!content) {
    return [
      ...found,
      error('missing-file', 'not there: the server will not start. `mecai staple --once` writes it'),
    ];
  }
  try {
    const extensions = decodeServerInfo(content.toString('latin1'));
    const missing = codepoints.filter((codepoint) => !extensions.some(({ type }) => type === codepoint));
    if (missing.length > 0) {
      found.push(
        error('missing-types', `no extension ${missing.join(', ')}: these VAs' vouchers are not sent`),
      );
    }
    for (const { type, data } of extensions) {
      if (data.length <= largeOctets) continue;
      const message = `extension ${type} has ${data.length} octets: three of that size do not fit into a handshake`;
      found.push({ ...error('large-voucher', message), severity: 'advice' });
    }
  } catch (cause) {
    if (!(cause instanceof StapleError)) throw cause;
    const what = `${cause.message}. Apache does not look before a reload and would stop`;
    found.push(error('bad-file', what));
  }
  return found;
}

/** Who can write the file can make the server say "no voucher", or break its next reload. */
function ownership(path: string): string[] {
  const found: string[] = [];
  const open = (one: string, stats: Stats | undefined) => {
    if (stats && (stats.mode & 0o002) !== 0 && (stats.mode & 0o1000) === 0)
      found.push(`${one} can be written by everybody`);
  };
  const directory = dirname(path);
  open(path, statSync(path, { throwIfNoEntry: false }));
  open(directory, statSync(directory, { throwIfNoEntry: false }));
  try {
    accessSync(directory, constants.W_OK);
  } catch {
    found.push(`the stapler, as the user that runs this, cannot write to ${directory}`);
  }
  return found;
}

function keyFile(path: string, place: Place): LintFinding[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats || (stats.mode & 0o004) === 0) return [];
  const message = `${path}: a private key that everybody on this machine can read. chmod 640`;
  return [{ code: 'permissions', severity: 'error', place, message }];
}
