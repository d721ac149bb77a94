/** `mecai-admin distrust` against a running network. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChainResult } from '@mecai/voucher';
import { serverCertificate } from '../network/index.ts';
import { Asker, serverName, until } from './asker.ts';
import { freePort } from '@mecai/addresses/testing';

const script = join(import.meta.dirname, '../../../admin/src/main.ts');
let asker: Asker;
let ask: () => Promise<ChainResult>;

beforeAll(async () => {
  // Whoever comes back is looked for where it was.
  asker = await Asker.start({
    signer: { listen: `127.0.0.1:${await freePort()}`, draws: { perEndpoint: 100_000 } },
  });
  const { webIntermediate } = asker.network.pki;
  ask = await asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
});
afterAll(() => asker.close());

async function admin(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, 'distrust', ...args], { encoding: 'utf8' }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}
const why = ['--reason', 'key on sale', '--author', 'Ada'];
const command = (...args: string[]) => admin(...args, '--config', asker.network.files.admin, '--json');

interface Listed {
  readonly id: string;
  readonly [member: string]: unknown;
}
async function add(...args: string[]): Promise<string> {
  const { code, out, err } = await command('add', ...args, ...why);
  if (code !== 0) throw new Error(err);
  const { id }: Listed = JSON.parse(out);
  return id;
}
async function list(...args: string[]): Promise<Listed[]> {
  const { out } = await command('list', ...args);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Listed => JSON.parse(line));
}
const spki = () =>
  createHash('sha256')
    .update(asker.network.pki.webIntermediate.publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex');
const issuerFile = () => join(asker.network.directory, 'trust/CHROME/roots.pem');

afterEach(async () => {
  for (const { id } of await list()) await command('lift', id, ...why);
  await until(ask, ({ status }) => status === 'issued');
});

describe('a running network', () => {
  it('no voucher comes out once the command has returned; lifted, they come again', {
    timeout: 120_000,
  }, async () => {
    const issuedAt: number[] = [];
    const refusedAt: number[] = [];
    const stopping = new AbortController();
    const load = Array.from({ length: 4 }, async () => {
      while (!stopping.signal.aborted) {
        const { status } = await ask();
        (status === 'issued' ? issuedAt : refusedAt).push(performance.now());
      }
    });
    await until(ask, ({ status }) => status === 'issued');
    const begun = performance.now();
    const id = await add('--spki', spki());
    const returned = performance.now();
    const { result } = await until(ask, ({ status }) => status !== 'issued');
    expect(result).toMatchObject({ status: 'refused', reason: 'distrusted' });
    expect(result.detail).toContain(`distrusted by entry ${id}: key on sale`);
    const seen = refusedAt.length;
    await until(ask, () => refusedAt.length > seen + 20);
    stopping.abort();
    await Promise.all(load);
    const last = Math.max(...issuedAt);
    // When the command reached the signer: how long its own process takes to start says nothing.
    const [entry] = (await list()) as { set?: { at: string } }[];
    const set = Date.parse(entry!.set!.at) - performance.timeOrigin;
    console.log(
      `distrust: the command took ${(returned - begun).toFixed(0)} ms in all; last voucher ` +
        `${(last - set).toFixed(0)} ms after it was set, ${(last - returned).toFixed(0)} ms after it returned`,
    );
    expect(issuedAt.length).toBeGreaterThan(4);
    // What the signer had signed before is still on its way to the requester.
    expect(last - set).toBeLessThan(5_000);
    await command('lift', id, ...why);
    await until(ask, ({ status }) => status === 'issued');
  });

  it('is copied to the coordinator and its database', { timeout: 90_000 }, async () => {
    const id = await add('--operator', 'Nobody Ltd');
    const status = async (): Promise<number> => {
      const answer = await fetch(`${asker.network.coordinator.ready['admin']}/status`);
      return (JSON.parse(await answer.text()) as { distrusted: number }).distrusted;
    };
    await expect.poll(status, { timeout: 60_000, interval: 20 }).toBe(1);
    const file = join(asker.network.directory, 'coordinator.sqlite');
    const database = new DatabaseSync(file, { readOnly: true });
    const stored = () =>
      database.prepare('select id, reason, author from distrust where lifted_at is null').all();
    await expect
      .poll(stored, { timeout: 60_000, interval: 20 })
      .toEqual([{ id, reason: 'key on sale', author: 'Ada' }]);
    await command('lift', id, ...why);
    await expect.poll(stored, { timeout: 60_000, interval: 20 }).toEqual([]);
    database.close();
  });

  it('it survives a signer that is killed, and is on record', { timeout: 120_000 }, async () => {
    const { signer, directory } = asker.network;
    const id = await add('--issuer', issuerFile());
    expect((await ask()).reason).toBe('distrusted');
    await signer.signal('SIGKILL');
    await signer.restart();
    const { result } = await until(ask, ({ status }) => status === 'refused');
    expect(result.reason).toBe('distrusted');
    const [entry, ...others] = await list();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      id,
      issuer: 'CN=Example Web Root',
      set: { author: 'Ada', reason: 'key on sale', identity: 'spiffe://mecai.test/operator' },
    });
    await command('lift', id, ...why);
    expect(await list()).toEqual([]);
    expect((await list('--all')).at(-1)).toMatchObject({ id, lifted: { author: 'Ada' } });
    await signer.restart();
    await until(ask, ({ status }) => status === 'issued');
    const audit = readFileSync(join(directory, 'audit.jsonl'), 'utf8');
    expect(audit).toMatch(new RegExp(`"event":"distrust-set","id":"${id}"`));
    expect(audit).toMatch(new RegExp(`"event":"distrust-lifted","id":"${id}"`));
  });

  it('in one trust context: the voucher is without it, and the answer says why', {
    timeout: 90_000,
  }, async () => {
    expect(asker.content(await ask()).trustContexts).toEqual(['CHROME', 'MOZ']);
    const id = await add('--certificate', issuerFile(), '--context', 'CHROME');
    const result = await ask();
    expect(asker.content(result).trustContexts).toEqual(['MOZ']);
    expect(result.detail).toMatch(new RegExp(`left out: CHROME: distrusted .* entry ${id}`));
  });

  it('dates: in force from then on; only what was issued later', { timeout: 120_000 }, async () => {
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    await add('--spki', spki(), '--from', at(3_600_000));
    expect((await ask()).status).toBe('issued');
    const id = await add('--spki', spki(), '--from', at(-3_600_000));
    expect((await ask()).reason).toBe('distrusted');
    await command('lift', id, ...why);
    const later = await add('--spki', spki(), '--issued-after', at(-3_600_000));
    expect((await ask()).status).toBe('issued');
    await command('lift', later, ...why);
    await add('--spki', spki(), '--issued-after', at(-10 * 86_400_000));
    expect((await ask()).reason).toBe('distrusted');
  });
});

describe('who may not, and how not', () => {
  it('a coordinator is no operator', async () => {
    const { files, signer, directory } = asker.network;
    const file = join(directory, 'captured-admin.json');
    const id = 'spiffe://mecai.test/signer';
    writeFileSync(
      file,
      JSON.stringify({ signers: [{ address: signer.ready['grpc'], id, tls: files.coordinatorSvid }] }),
    );
    const { code, err } = await admin('add', '--operator', 'Example', ...why, '--config', file);
    expect([code, err]).toEqual([1, expect.stringContaining('PERMISSION_DENIED')]);
    expect(await list()).toEqual([]);
  });

  it.each<[string, string[], RegExp]>([
    ['nothing to distrust', ['add', ...why], /one of --certificate/],
    ['two subjects', ['add', '--operator', 'A', '--spki', '0'.repeat(64), ...why], /one of --certificate/],
    ['no reason', ['add', '--operator', 'A', '--author', 'Ada'], /--reason/],
    [
      'an unknown trust context',
      ['add', '--operator', 'A', '--context', 'MOZILLA', ...why],
      /there are CHROME/,
    ],
    ['a time that is none', ['add', '--operator', 'A', '--from', 'tomorrow', ...why], /--from/],
    ['an unknown entry', ['lift', 'abc', ...why], /no entry/],
    ['an unknown command', ['remove', ...why], /no command remove/],
    ['an option too many', ['list', '--force'], /force/],
  ])('%s', async (_, args, said) => {
    const { code, err } = await command(...args);
    expect(err).toMatch(said);
    expect(code).toBe(2);
  });

  it('lists for people, too', async () => {
    await add('--operator', 'Nobody Ltd');
    const { out } = await admin('list', '--config', asker.network.files.admin);
    expect(out).toMatch(
      /^[0-9a-f]{12} {2}operator Nobody Ltd\n {4}set \d{4}-.* by Ada \(spiffe:.*key on sale\n$/,
    );
  });
});
