/** The certificate log of a running network, and `mecai-admin` for it. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { ChainResult } from '@mecai/voucher';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestCertificate, keyPem, pem, serverCertificate } from '../network/index.ts';
import { Asker, serverName } from '../trust/asker.ts';

const script = join(import.meta.dirname, '../../../admin/src/main.ts');
const why = ['--reason', 'called them', '--author', 'Ada'];
let asker: Asker;

beforeAll(async () => {
  asker = await Asker.start({ coordinator: { certificateLog: { hold: { maxMs: 3_600_000 } } } });
});
afterAll(() => asker.close());

const leafOf = (key: Parameters<typeof serverCertificate>[2] = 'ecdsa', dns = [serverName]) =>
  serverCertificate(asker.network.pki.webIntermediate, { dns }, key);
const about = (leaf: TestCertificate): Promise<() => Promise<ChainResult>> =>
  asker.about([leaf, asker.network.pki.webIntermediate]);
const idOf = (leaf: TestCertificate) => createHash('sha256').update(leaf.der).digest('hex');

function admin(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { admin: config } = asker.network.files;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [script, ...args, '--config', config],
      { encoding: 'utf8' },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}
const lines = async (...args: string[]): Promise<Record<string, unknown>[]> =>
  (await admin(...args, '--json')).out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** POST to the coordinator; resolves with the HTTP status. */
const post = (path: string, type: string, body: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request(
      new URL(path, asker.network.vrpUrl),
      { method: 'POST', headers: { 'content-type': type }, ca: readFileSync(asker.network.files.httpsCa) },
      (response) => {
        response.resume();
        resolve(response.statusCode!);
      },
    );
    sent.on('error', reject).end(body);
  });

function statement(content: object, signer: TestCertificate): Buffer {
  const at = (name: string, text: string) => {
    writeFileSync(join(asker.network.directory, name), text);
    return join(asker.network.directory, name);
  };
  const make = 'cms -sign -binary -nodetach -nosmimecap -outform DER'.split(' ');
  const from = ['-in', at('statement.json', JSON.stringify(content))];
  const by = ['-signer', at('signer.pem', pem(signer)), '-inkey', at('signer.key', keyPem(signer))];
  return execFileSync('openssl', [...make, ...from, ...by]);
}

describe('a running network', () => {
  it('holds a certificate that it sees for the first time, until an operator clears it', async () => {
    const leaf = leafOf();
    const ask = await about(leaf);
    const first = await ask();
    expect(first).toMatchObject({ status: 'on-hold', perspectives: { length: 6 } });
    expect(first.retryAfter).toBeGreaterThan(3_500);
    expect((await lines('holds')).map(({ sha256 }) => sha256)).toContain(idOf(leaf));
    const cleared = await admin('clear', idOf(leaf), ...why);
    expect(cleared).toMatchObject({ code: 0, out: `cleared ${idOf(leaf)}\n` });
    expect((await ask()).status).toBe('issued');
    const [found] = await lines('certificate', idOf(leaf));
    expect(found).toMatchObject({
      sha256: idOf(leaf),
      state: 'cleared',
      names: [serverName],
      endpoints: [{ address: '127.0.0.80' }],
      events: [
        { kind: 'first-sight' },
        {
          kind: 'cleared',
          detail: { reason: 'called them', author: 'Ada', identity: 'spiffe://mecai.test/operator' },
        },
      ],
    });
  });

  it('lets a renewal pass at once', async () => {
    const leaf = leafOf();
    await (await about(leaf))();
    await admin('clear', idOf(leaf), ...why);
    expect((await (await about(leafOf(leaf)))()).status).toBe('issued');
    expect((await (await about(leafOf()))()).status).toBe('on-hold');
    expect((await (await about(leafOf(leaf, [serverName, 'new.example.test'])))()).status).toBe('on-hold');
  });

  it('issues nothing for what is objected to, until an operator decides', async () => {
    const [own, rogue] = [leafOf(), leafOf()];
    const [ofOwn, ofRogue] = [await about(own), await about(rogue)];
    await ofOwn();
    await ofRogue();
    for (const one of [own, rogue]) await admin('clear', idOf(one), ...why);
    expect((await ofRogue()).status).toBe('issued');
    const objection = {
      type: 'mecai-objection',
      certificate: idOf(rogue),
      by: idOf(own),
      domain: serverName,
    };
    expect(await post('/statements', 'application/cms', statement(objection, rogue))).toBe(403);
    expect((await ofRogue()).status).toBe('issued');
    expect(await post('/statements', 'application/cms', statement(objection, own))).toBe(201);
    expect(await ofRogue()).toMatchObject({ status: 'refused', reason: 'objected' });
    expect((await lines('holds', '--objected')).map(({ sha256 }) => sha256)).toEqual([idOf(rogue)]);
    expect((await ofOwn()).status).toBe('issued');
    await admin('clear', idOf(rogue), ...why);
    expect((await ofRogue()).status).toBe('issued');
    // Once decided, the same proof does not raise it again; the operator may.
    expect(await post('/statements', 'application/cms', statement(objection, own))).toBe(409);
    expect((await admin('object', idOf(rogue), ...why)).code).toBe(0);
    expect(await ofRogue()).toMatchObject({ status: 'refused', reason: 'objected' });
  });

  it('tells what it has for a name, in words as well', async () => {
    const leaf = leafOf('ecdsa', [serverName, 'xn--bcher-kva.example.test']);
    await (await about(leaf))();
    const { out } = await admin('certificate', '--name', 'xn--bcher-kva.example.test');
    expect(out).toMatch(new RegExp(`^${idOf(leaf)}\n {4}held until 2.*\n {4}www.example.test xn--bcher-kva`));
    expect((await admin('certificate', '--name', 'Bücher.Example.TEST.')).out).toBe(out);
    expect((await admin('certificate', '--name', '*.example.test')).out).toBe(
      'no certificate with the name *.example.test\n',
    );
    expect(
      (await admin('holds', '--limit', '1')).out.split('\n').filter((line) => /^[0-9a-f]/.test(line)),
    ).toHaveLength(1);
    expect((await admin('certificate', idOf(leaf))).out).toMatch(
      /first-sight \{"requester":"127\.0\.0\.1".*"until":"20\d\d-\d\d-\d\dT/,
    );
    expect(await admin('outbox', 'list')).toMatchObject({
      code: 0,
      out: 'there is nothing like that in the outbox\n',
    });
  });

  it.each([
    ['no certificate', ['clear', ...why]],
    ['no reason', ['object', '00'.repeat(32), '--author', 'Ada']],
    ['a certificate that is not known', ['clear', '00'.repeat(32), ...why]],
    ['what is neither a fingerprint nor a file', ['certificate', '1234']],
    ['no command', ['outbox']],
    ['no id', ['outbox', 'retry']],
    ['no delivery of that id', ['outbox', 'drop', 'nothing']],
    ['a state that there is not', ['outbox', 'list', '--state', 'lost']],
    ['a limit that is none', ['holds', '--limit', '-1']],
  ])('says what is wrong with %s', async (_, args) => {
    const { code, err } = await admin(...args);
    expect(code).toBe(2);
    expect(err).toMatch(/^mecai-admin: /);
  });

  it('obeys nobody else', async () => {
    const file = asker.network.files.admin;
    const { coordinator }: { coordinator: object } = JSON.parse(readFileSync(file, 'utf8'));
    const other = join(asker.network.directory, 'other-admin.json');
    const tls = asker.network.files.coordinatorSvid;
    writeFileSync(other, JSON.stringify({ coordinator: { ...coordinator, tls } }));
    await expect(
      new Promise((resolve, reject) =>
        execFile(process.execPath, [script, 'holds', '--config', other], (error) =>
          error ? reject(error) : resolve(undefined),
        ),
      ),
    ).rejects.toThrow('this identity is no operator');
  });

  // Last: the coordinator listens elsewhere after it.
  it('shows the states in its metrics', async () => {
    const metrics = async () => (await fetch(`${asker.network.coordinator.ready['admin']}/metrics`)).text();
    const restarted = { certificateLog: { sweepEveryMs: 100, hold: { maxMs: 3_600_000 } } };
    const file = join(asker.network.directory, 'coordinator.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...restarted }));
    await asker.network.coordinator.restart();
    await expect
      .poll(metrics, { timeout: 60_000 })
      .toMatch(/mecai_certificates\{[^}]*state="held"[^}]*\} [1-9]/);
    expect(await metrics()).toMatch(/mecai_certificates\{[^}]*state="objected"[^}]*\} 1\n/);
  });
});
