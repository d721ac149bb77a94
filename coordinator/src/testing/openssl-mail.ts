import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toPem } from '@mecai/pki';
import { mailRoot } from './identity.ts';

/**
 * What `openssl cms -verify` or `openssl smime -verify` gives out of a signed mail: the entity that was signed.
 *
 * @throws Error with openssl's words when it does not hold
 */
export const verifiedByOpenssl = (mail: Uint8Array, command: 'cms' | 'smime' = 'cms'): Buffer =>
  verified(mail, [command]);

/** What `openssl cms -verify` gives out of a signed statement. Throws as `verifiedByOpenssl`. */
export const statementVerifiedByOpenssl = (cms: Uint8Array): Buffer =>
  verified(cms, ['cms', '-binary', '-inform', 'DER']);

function verified(mail: Uint8Array, [command = '', ...options]: readonly string[]): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-mail-'));
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  try {
    const root = file('root.pem', toPem(mailRoot.der, 'CERTIFICATE'));
    const args = ['-verify', '-in', file('mail', mail), '-CAfile', root, '-purpose', 'smimesign'];
    return execFileSync('openssl', [command, ...options, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
