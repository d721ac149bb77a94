/** Rules of choice over the country of the address connected to, by a GeoIP database as operators have them. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listedVa, listOf, signedList, startServer, vendorKey, webRoot } from '@mecai/client/testing';
import { toPem } from '@mecai/pki';
import { afterAll, expect, test, vi } from 'vitest';
import { writeMmdb } from '../parts/mmdb-writer.ts';

vi.setConfig({ testTimeout: 120_000 });
const directory = mkdtempSync(join(tmpdir(), 'mecai-geoip-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};

test('mecai connect chooses by where the server is', async () => {
  const server = await startServer();
  const now = new Date();
  const vas = ['DE', 'JP', 'US'].map((country, i) => listedVa(i, { country }, now));
  const list = listOf(vas, { expires: new Date(now.getTime() + 86_400_000) });
  const geoip = join(directory, 'country.mmdb');
  writeMmdb(geoip, [{ prefix: '127.0.0.0/8', record: { country: { iso_code: 'JP' } } }], {
    databaseType: 'GeoLite2-Country',
  });
  const rules = {
    rules: [{ when: { destination: { notIn: ['@client'] } }, vas: { notIn: ['@client', '@destination'] } }],
  };
  const chosen = (...more: string[]) => {
    const main = join(import.meta.dirname, '../../../client/src/main.ts');
    const files = [
      ['--list', file('list.jws', signedList(list))],
      ['--list-key', file('vendor.pem', vendorKey.publicKey.export({ type: 'spki', format: 'pem' }))],
      ['--policy', file('policy.json', JSON.stringify({ choice: rules, routes: [] }))],
      ['--ca', file('ca.pem', toPem(webRoot.der, 'CERTIFICATE'))],
      ['--address', '127.0.0.1'],
    ].flat();
    const args = [main, 'connect', `https://www.example.org:${server.port}`, ...files, ...more, '--json'];
    // The server runs in this process.
    return new Promise<{ code: number | null; out: string }>((resolve) => {
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.on('close', (code) => resolve({ code, out }));
    });
  };
  const of = ({ out }: { out: string }) => (JSON.parse(out) as { chosen: string[] }).chosen.toSorted();
  try {
    expect(of(await chosen('--geoip', geoip, '--country', 'DE'))).toEqual(['va-2']);
    // At home the rule does not apply.
    expect(of(await chosen('--geoip', geoip, '--country', 'JP'))).toEqual(['va-0', 'va-1', 'va-2']);
    // It cannot be applied without knowing where the client is.
    const { code, out } = await chosen('--geoip', geoip);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ failures: [{ code: 'no-choice' }] });
  } finally {
    server.close();
  }
});
