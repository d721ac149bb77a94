/** The client vendor of the story: a list with this network's VA, and the `mecai` command. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { signVaList } from '@mecai/client';
import type { Stage } from '../story.ts';

const mecaiMain = join(import.meta.dirname, '../../../client/src/main.ts');
/** Of the one VA in the list. */
export const vaId = 'second-opinion';

/** @returns the files of the list and of the vendor's key */
export function writeVaList({ network }: Stage, file: (name: string, content: string) => string) {
  const vendor = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuedAt = new Date(Math.floor(Date.now() / 1_000) * 1_000 - 1_000);
  const list = signVaList(
    {
      version: 1,
      issuer: 'Example Browser',
      issuedAt,
      expires: new Date(issuedAt.getTime() + 90 * 86_400_000),
      vas: [
        {
          id: vaId,
          name: 'Second Opinion VA',
          operator: 'Second Opinion CA',
          country: 'DE',
          vrp: network.vrpUrl,
          roots: [network.pki.vaRoot.der],
          caKeys: [],
          status: 'active',
          codepoint: 65_300,
        },
      ],
    },
    'vendor',
    vendor.privateKey,
  );
  const key = vendor.publicKey.export({ type: 'spki', format: 'pem' });
  return { file: file('va-list.jws', list), key: file('vendor.pem', key) };
}

export function mecai(...args: readonly string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [mecaiMain, ...args], (error, out) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, out });
    });
  });
}
