import { existsSync } from 'node:fs';

/** @throws Error when SoftHSM is not installed where distributions put it */
export function softHsmModule(): string {
  const found = [
    '/usr/lib/softhsm/libsofthsm2.so',
    '/usr/lib64/pkcs11/libsofthsm2.so',
    '/usr/local/lib/softhsm/libsofthsm2.so',
    '/opt/homebrew/lib/softhsm/libsofthsm2.so',
  ].find((file) => existsSync(file));
  if (!found) throw new Error('libsofthsm2.so not found: install the Debian package softhsm2');
  return found;
}
