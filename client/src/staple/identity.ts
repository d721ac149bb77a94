/** Certificates and key of a server, as its files hold them. */
import {
  type Certificate,
  matchesHostName,
  parseCertificate,
  pemCertificates,
  PkiError,
  subjectAltNames,
} from '@mecai/pki';
import { isServerName } from '@mecai/voucher';
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { StapleError } from './error.ts';
import type { KeyPair } from './servers/site.ts';
import type { SourceFiles } from './servers/source-files.ts';

/** Leaf first, one at least. Throws `StapleError` `unreadable-file`. */
export function readChain(
  { certificate, chain }: Pick<KeyPair, 'certificate' | 'chain'>,
  files: SourceFiles,
): Certificate[] {
  const own = certificatesIn(certificate, files);
  if (own.length === 0) throw unreadable(certificate, 'no certificate in it');
  return [...own, ...(chain === undefined ? [] : certificatesIn(chain, files))];
}

function certificatesIn(file: string, files: SourceFiles): Certificate[] {
  try {
    return pemCertificates(files.read(file));
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause;
    throw unreadable(file, cause.message, cause);
  }
}

/** The key of this certificate. Throws `StapleError` `unreadable-file`. */
export function readKey(file: string, leaf: Certificate, files: SourceFiles): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(files.read(file));
  } catch (cause) {
    if (cause instanceof StapleError) throw cause;
    throw unreadable(file, 'no private key in PEM, or an encrypted one', cause);
  }
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!spki.equals(leaf.spki)) throw unreadable(file, 'the key of another certificate');
  return key;
}

const unreadable = (file: string, why: string, cause?: unknown) =>
  new StapleError('unreadable-file', `${file}: ${why}`, { cause });

/** A name the server answers to that is in the certificate, or the certificate's own. */
export function nameFor(names: readonly string[], leaf: Certificate): string | undefined {
  let presented: ReturnType<typeof subjectAltNames>;
  try {
    presented = subjectAltNames(parseCertificate(leaf.der));
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
  const own = names.map((name) => name.toLowerCase()).filter(isServerName);
  return own.find((name) => matchesHostName(presented, name)) ?? presented.dns.find(isServerName);
}
