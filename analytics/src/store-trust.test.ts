import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StoreConfig } from './config.ts';
import { ServerReader } from './sql/server-reader.ts';
import { Store } from './store.ts';
import { startClickHouse } from './testing/process.ts';
import { TlsFront, issueTls, makeCa } from './testing/tls.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-trust-'));
const log = createLogger('trust', 'silent');
const file = (name: string, content: string) => {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
};
const ca = makeCa(root, 'ca');
const other = makeCa(root, 'other');
const passwordFile = file('password', 'pässword ☃');
let engine: { child: ChildProcess; port: number };
let front: TlsFront;
let url: string;

beforeAll(async () => {
  engine = await startClickHouse(join(root, 'served'), 0, 'ada:pässword ☃');
  front = new TlsFront(engine.port, issueTls(root, 'server', ca));
  url = await front.open();
}, 60_000);
afterAll(() => {
  front.close();
  engine.child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const open = (trusted: { ca?: string }, at = url) => {
  const login = { user: 'ada', passwordFile, database: 'mecai', leaseMs: 10_000 };
  const store: StoreConfig = { kind: 'server', url: at, ...login, ...trusted };
  return Store.open({ store, retentionDays: 0, insertMs: 10_000 }, log);
};
const ask = async (trusted: { ca?: string }) => {
  const limits = { seconds: 10, rows: 10_000, resultBytes: 1_000_000, memoryBytes: 200_000_000 };
  const login = { user: 'ada', password: 'pässword ☃', database: 'mecai' };
  const reader = new ServerReader({ url, ...login, ...trusted }, limits);
  try {
    return await text(await reader.run('SELECT count() AS n FROM evidence', 'JSONEachRow'));
  } finally {
    await reader.close();
  }
};

describe('a server with a certificate by an internal CA', () => {
  it('is written and asked when that CA is the one given, among others or alone', async () => {
    const both = file('both.pem', [other, ca].map((one) => readFileSync(one.certificate, 'utf8')).join(''));
    for (const [n, trusted] of [ca.certificate, both].entries()) {
      const store = await open({ ca: trusted });
      const row = { observation: String(n), received_at: Date.now(), agent: 'lima', signed_base64: 'AQ==' };
      await store.insert('evidence', [row], [row.observation]);
      await store.close();
      expect(await ask({ ca: trusted })).toBe(`{"n":${n + 1}}\n`);
    }
  });

  it('is refused when another CA is given, or none, and it is said which', async () => {
    const given = await open({ ca: other.certificate }).catch((error: unknown) => error);
    expect(given).toMatchObject({ code: 'store-absent' });
    expect(String(given)).toContain(
      `the certificate of ${url} is by no CA in ${other.certificate} (store.ca)`,
    );
    const none = await open({}).catch((error: unknown) => error);
    expect(none).toMatchObject({ code: 'store-absent' });
    expect(String(none)).toContain(`${url} is by no public CA, and there is no store.ca`);
    for (const trusted of [{ ca: other.certificate }, {}])
      await expect(ask(trusted)).rejects.toThrow(/certificate/);
  });

  it('is refused with the name of another server', async () => {
    const elsewhere = new TlsFront(engine.port, issueTls(root, 'elsewhere', ca, 'DNS:elsewhere.example'));
    await expect(open({ ca: ca.certificate }, await elsewhere.open())).rejects.toThrow(
      /IP: 127\.0\.0\.1 is not/,
    );
    elsewhere.close();
  });
});

it.each([
  ['absent', 'absent.pem', undefined, /^store\.ca: cannot read .*absent\.pem/],
  ['empty', 'empty.pem', '', /^store\.ca: .*empty\.pem: no certificate/],
  ['a key', 'key.pem', readFileSync(ca.key, 'utf8'), /^store\.ca: .*key\.pem: no certificate/],
  [
    'damaged',
    'damaged.pem',
    readFileSync(ca.certificate, 'utf8').replace('\nMII', '\nAAA'),
    /^store\.ca: .*damaged\.pem: a certificate that cannot be read/,
  ],
])('a file of the CA that is %s is told by option and name', async (_, name, content, message) => {
  if (content !== undefined) file(name, content);
  await expect(open({ ca: join(root, name) })).rejects.toThrow(message);
});
