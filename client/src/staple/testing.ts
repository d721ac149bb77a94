/** A stapler and what is around it, for tests: three small VAs, their list, certificates, a directory. */
import { type TestCertificate, testCertificate, testKey } from '@mecai/voucher/testing';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pem, startTestVa, type TestVaServer } from '../test-va-server.ts';
import { signVaList, type VaEntry } from '../va-list/va-list.ts';
import { type Assembled, assemble } from './assemble.ts';
import { loadStapleConfig } from './config.ts';

export const codepoints = [65_300, 65_301, 65_302] as const;

export interface Scene {
  readonly directory: string;
  /** Path of a file in it, written if there is content. */
  file(name: string, content?: string | Uint8Array, mode?: number): string;
  readonly vas: readonly TestVaServer[];
  /** Intermediate of the server certificates. */
  readonly ca: TestCertificate;
  /** Certificate file with the intermediate, and key file. */
  identity(name: string, dnsNames: readonly string[], kind?: 'ecdsa' | 'rsa'): Identity;
  /** Everything but the server and what the caller adds. */
  config(more: object): object;
  /** From a configuration; `log` gathers its events. */
  stapler(config: object, now?: () => number): Assembled & { readonly log: LogLine[] };
  close(): void;
}

export interface Identity {
  readonly leaf: TestCertificate;
  readonly chain: readonly Uint8Array[];
  readonly certificate: string;
  readonly key: string;
}

export interface LogLine {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export async function setScene(now: () => number): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-staple-'));
  // Workers of nginx run as somebody else, and serve files from it.
  chmodSync(directory, 0o755);
  const file: Scene['file'] = (name, content, mode = 0o644) => {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (content !== undefined) writeFileSync(path, content, { mode });
    return path;
  };
  const vas = await Promise.all(codepoints.map(() => startTestVa({ now: () => new Date(now()) })));
  const root = testCertificate({ subject: 'Web Root', ca: true });
  const ca = testCertificate({ subject: 'Web CA', issuer: root, ca: true, pathLength: 0 });
  const vendor = testKey();
  const entries = vas.map(({ va, url }, i): VaEntry => {
    const id = `va-${i + 1}`;
    const common = { name: id, operator: `CA ${i + 1}`, country: 'DE', status: 'active' } as const;
    return { id, ...common, vrp: url, roots: [va.root.der], caKeys: [], codepoint: codepoints[i]! };
  });
  const issuedAt = new Date(Math.floor(now() / 1_000) * 1_000 - 86_400_000);
  const expires = new Date(issuedAt.getTime() + 90 * 86_400_000);
  const list = { version: 1, issuer: 'Test', issuedAt, expires, vas: entries };
  file('va-list.jws', signVaList(list, 'vendor-1', vendor.privateKey));
  file('vendor.pem', vendor.publicKey.export({ type: 'spki', format: 'pem' }));
  file('va-ca.pem', vas.map(({ tlsCaPem }) => tlsCaPem).join(''));
  let serial = 100;

  return {
    directory,
    file,
    vas,
    ca,
    identity(name, dnsNames, kind = 'ecdsa') {
      const key = kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : testKey();
      const leaf = testCertificate({ subject: name, issuer: ca, key, dnsNames, serial: ++serial });
      const chain = [leaf.der, ca.der];
      return {
        leaf,
        chain,
        certificate: file(`${name}.pem`, pem(...chain)),
        key: file(`${name}.key`, leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600),
      };
    },
    config: (more) => ({
      vaList: 'va-list.jws',
      vaListKeys: { 'vendor-1': 'vendor.pem' },
      vaCa: 'va-ca.pem',
      addresses: ['127.0.0.1'],
      state: 'state',
      requestTimeoutSeconds: 10,
      ...more,
    }),
    stapler(config, clock = now) {
      const log: LogLine[] = [];
      const loaded = loadStapleConfig(file('staple.json', JSON.stringify(config)));
      const assembled = assemble(loaded, {
        now: clock,
        random: () => 0.5,
        log: (event, fields = {}) => log.push({ event, fields }),
      });
      return { ...assembled, log };
    },
    close() {
      for (const va of vas) va.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
