import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestCertificate } from '@mecai/voucher/testing';
import { keyPemOf, pemOf } from './chains.ts';

/** A statement as its owner makes it, with nothing but OpenSSL. */
export function signedStatement(content: unknown, signer: TestCertificate, ...options: string[]): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-statement-'));
  const at = (name: string) => join(directory, name);
  try {
    writeFileSync(at('statement.json'), typeof content === 'string' ? content : JSON.stringify(content));
    writeFileSync(at('signer.pem'), pemOf(signer));
    writeFileSync(at('signer.key'), keyPemOf(signer));
    const make = 'cms -sign -binary -nodetach -nosmimecap -outform DER'.split(' ');
    const files = ['-in', at('statement.json'), '-signer', at('signer.pem'), '-inkey', at('signer.key')];
    execFileSync('openssl', [...make, ...files, '-out', at('out'), ...options], { stdio: 'pipe' });
    return readFileSync(at('out'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}
