import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SoftHsm {
  readonly directory: string;
  readonly module: string;
  readonly pin: string;
  /** SOFTHSM2_CONF for processes that load the module. */
  readonly environment: Readonly<Record<string, string>>;
  addToken(label: string): void;
  remove(): void;
}

const modules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** A directory of SoftHSM tokens of its own, with one token labelled `test`. */
export function createSoftHsm(): SoftHsm {
  const module = modules.find((file) => existsSync(file));
  if (module === undefined) throw new Error('SoftHSM is not installed: the Debian package is softhsm2');
  const directory = mkdtempSync(join(tmpdir(), 'soft-hsm-'));
  const file = join(directory, 'softhsm2.conf');
  mkdirSync(join(directory, 'tokens'));
  writeFileSync(file, `directories.tokendir = ${join(directory, 'tokens')}\nlog.level = ERROR\n`);
  const environment = { SOFTHSM2_CONF: file };
  const pin = '2468';
  const addToken = (label: string) => {
    const args = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '13579'];
    execFileSync('softhsm2-util', args, { env: { ...process.env, ...environment }, stdio: 'pipe' });
  };
  addToken('test');
  return {
    directory,
    module,
    pin,
    environment,
    addToken,
    remove: () => rmSync(directory, { recursive: true }),
  };
}
