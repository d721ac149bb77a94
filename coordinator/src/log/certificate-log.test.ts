import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { engines, testDatabases } from '@mecai/database/testing';
import { type HandshakeScts, readLogKey } from '@mecai/pki';
import { keyOf, sctList } from '@mecai/pki/testing';
import { testKey } from '@mecai/voucher/testing';
import { describe, expect, it } from 'vitest';
import { webRoot } from '../testing/chains.ts';
import { allWaivers, hour, logScene, noWaivers, start, webServer } from '../testing/certificate-log.ts';
import { hex, sha256 } from './certificate-facts.ts';
import { sweep } from './sweep.ts';

const run = promisify(execFile);
const www = ['www.example.org', 'example.org'];

interface Renewal {
  readonly key?: boolean;
  readonly issuer?: typeof webRoot;
}

describe.each(engines)('the certificate log on %s', (engine) => {
  const databases = testDatabases(engine);

  it('holds what it sees for the first time, and puts a notice into the outbox', async () => {
    const scene = await logScene(databases);
    const leaf = webServer(www);
    expect(await scene.ask(leaf)).toEqual({ state: 'held', holdUntil: start + 72 * hour });
    expect(await scene.history(leaf)).toEqual(['first-sight']);
    expect(await scene.details(leaf, 'first-sight')).toMatchObject([
      {
        requester: '192.0.2.1',
        authenticated: true,
        addresses: ['198.51.100.7'],
        port: 443,
        serverName: 'www.example.org',
        trustContexts: ['MOZ'],
        until: start + 72 * hour,
      },
    ]);
    expect(await scene.notices()).toMatchObject([{ kind: 'first-sight', holdUntil: start + 72 * hour }]);
  });

  it('keeps what there is to know', async () => {
    const scene = await logScene(databases);
    const leaf = webServer(['www.Example.org', '*.example.org', 'xn--bcher-kva.example', 'x y\0']);
    await scene.ask(leaf);
    const [row] = await scene.database.query('select * from certificate');
    expect(row).toMatchObject({
      issuer: 'CN=Web Intermediate',
      not_before: start - 24 * hour,
      not_after: start + 89 * 24 * hour,
      first_request: start,
    });
    expect(JSON.parse(String(row!['names']))).toEqual({
      dns: ['www.example.org', '*.example.org', 'xn--bcher-kva.example', 'x y\0'],
      ip: [],
    });
    expect(Buffer.from(row!['spki_sha256'] as Uint8Array)).toEqual(
      sha256(leaf.publicKey.export({ type: 'spki', format: 'der' })),
    );
    const names = await scene.database.query('select name from certificate_name order by name');
    expect(names.map(({ name }) => name)).toEqual([
      '*.example.org',
      'www.example.org',
      'xn--bcher-kva.example',
    ]);
    const [der] = await scene.database.query('select der from certificate_der');
    expect(Buffer.from(der!['der'] as Uint8Array)).toEqual(Buffer.from(leaf.der));
    const endpoints = await scene.database.query(
      'select address, port, server_name, first_request, last_request from certificate_endpoint',
    );
    expect(endpoints.map((one) => ({ ...one }))).toEqual([
      {
        address: '198.51.100.7',
        port: 443,
        server_name: 'www.example.org',
        first_request: start,
        last_request: start,
      },
    ]);
  });

  it('takes a certificate of 2,000 names', async () => {
    const scene = await logScene(databases);
    const leaf = webServer(Array.from({ length: 2_000 }, (_, i) => `host-${i}.example.org`));
    await scene.ask(leaf);
    const [count] = await scene.database.query<{ n: number }>('select count(*) as n from certificate_name');
    expect(count!.n).toBe(2_000);
  });

  it('holds until the time is over, and clears with the next request', async () => {
    const scene = await logScene(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    scene.now += 72 * hour - 1;
    expect(await scene.ask(leaf)).toEqual({ state: 'held', holdUntil: start + 72 * hour });
    scene.now += 1;
    expect(await scene.ask(leaf)).toMatchObject({ state: 'cleared' });
    expect(await scene.history(leaf)).toEqual(['first-sight', 'hold-ended']);
    expect(await scene.notices()).toHaveLength(1);
  });

  it('lets a renewal pass at once, once the certificate before it has been cleared', async () => {
    const scene = await logScene(databases);
    const key = testKey();
    const [earlier, early, later] = [1, 2, 3].map((serial) => webServer(www, { key, serial }));
    await scene.ask(earlier!);
    expect(await scene.ask(early!)).toMatchObject({ state: 'held' });
    scene.now += 72 * hour;
    await scene.ask(earlier!);
    expect(await scene.ask(later!)).toMatchObject({ state: 'cleared' });
    expect(await scene.history(later!)).toEqual(['first-sight', 'waived']);
    expect(await scene.details(later!, 'waived')).toEqual([
      { by: 'renewal', until: scene.now, certificate: hex(sha256(earlier!.der)) },
    ]);
    // No mail for what nobody has to look at.
    expect(await scene.notices()).toHaveLength(2);
  });

  it.each<[string, string[], Renewal]>([
    ['another key', www, {}],
    ['a new name', [...www, 'mail.example.org'], { key: true }],
    ['another CA', www, { key: true, issuer: webRoot }],
  ])('holds a certificate with %s', async (_, names, { key: sameKey, ...rest }) => {
    const scene = await logScene(databases);
    const key = testKey();
    const earlier = webServer(www, { key });
    await scene.ask(earlier);
    scene.now += 72 * hour;
    await scene.ask(earlier);
    const later = webServer(names, { serial: 2, ...(sameKey && { key }), ...rest });
    expect(await scene.ask(later)).toMatchObject({ state: 'held' });
  });

  it('has a shorter hold for who proves the key, whoever asked first, and says so', async () => {
    const rules = [{ requester: 'authenticated' as const, maxMs: 24 * hour, lifetimeShare: 1 }];
    const scene = await logScene(databases, { policy: { ...noWaivers, rules } });
    const leaf = webServer(www);
    expect(await scene.ask(leaf, { authenticated: false })).toMatchObject({ holdUntil: start + 72 * hour });
    scene.now += hour;
    expect(await scene.ask(leaf)).toEqual({ state: 'held', holdUntil: start + 24 * hour });
    scene.now += hour;
    expect(await scene.ask(leaf, { authenticated: false })).toEqual({
      state: 'held',
      holdUntil: start + 24 * hour,
    });
    expect(await scene.history(leaf)).toEqual(['first-sight', 'hold-shortened']);
  });

  it('ends a hold with what is waived while it lasts', async () => {
    const scene = await logScene(databases, { policy: allWaivers });
    const leaf = webServer(www);
    await scene.ask(leaf);
    scene.now += hour;
    await scene.database.query(
      `insert into endorsement (sha256, authority, kind, received_at, statement)
       values ($1, 'own', 'approval', $2, $3)`,
      [sha256(leaf.der), scene.now, Uint8Array.of(1)],
    );
    scene.now += hour;
    expect(await scene.ask(leaf)).toEqual({ state: 'cleared', holdUntil: start + hour });
    expect(await scene.history(leaf)).toEqual(['first-sight', 'waived']);
    expect(await scene.details(leaf, 'waived')).toEqual([{ by: 'approval', until: start + hour }]);
  });

  it('counts the hold from SCTs of two operators, wherever they come from, and not from what nobody signed', async () => {
    const [first, second] = [keyOf('one log'), keyOf('another log')];
    const ctLogs = new Map(
      [first, second].map(({ spki }, i) => {
        const key = readLogKey(spki);
        return [key.id, { key, operator: `operator ${i}` }] as const;
      }),
    );
    const scene = await logScene(databases, { policy: allWaivers, ctLogs });
    const leaf = webServer(www);
    const at = (hours: number) => new Date(start - hours * hour);
    const list = (log: typeof first, hours: number, der = leaf.der) =>
      sctList(der, at(hours), undefined, log);
    const ocsp = list(second, 73);
    const ask = (sent: HandshakeScts) => scene.ask(leaf, {}, sent);
    expect(await ask({})).toMatchObject({ state: 'held' });
    expect(await ask({ tls: [list(first, 80)] })).toMatchObject({ state: 'held' });
    const stranger = keyOf('no log');
    expect(await ask({ tls: [list(first, 80), list(stranger, 80)] })).toMatchObject({ state: 'held' });
    expect(
      await ask({ tls: [list(first, 80)], ocsp: [list(second, 80, webServer(['another.example.org']).der)] }),
    ).toMatchObject({
      state: 'held',
    });
    expect(await ask({ tls: [list(first, 80)], ocsp: [ocsp] })).toMatchObject({ state: 'cleared' });
    expect(await scene.details(leaf, 'waived')).toEqual([{ by: 'scts', until: start }]);
  });

  it('holds nothing where holds are off, and still remembers and tells', async () => {
    const scene = await logScene(databases, { policy: { ...noWaivers, maxMs: 0 } });
    const leaf = webServer(www);
    expect(await scene.ask(leaf)).toMatchObject({ state: 'cleared' });
    expect(await scene.history(leaf)).toEqual(['first-sight']);
    expect(await scene.notices()).toEqual([expect.not.objectContaining({ holdUntil: expect.anything() })]);
  });

  it('remembers where and when a certificate was seen', async () => {
    const scene = await logScene(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    for (const address of [
      [198, 51, 100, 7],
      [198, 51, 100, 8],
      [198, 51, 100, 7],
    ]) {
      scene.now += 1_000;
      await scene.ask(leaf, { address });
    }
    await scene.lastSeen.flush();
    const rows = await scene.database.query(
      'select address, first_request, last_request from certificate_endpoint order by address',
    );
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { address: '198.51.100.7', first_request: start, last_request: start + 3_000 },
      { address: '198.51.100.8', first_request: start + 2_000, last_request: start + 2_000 },
    ]);
    expect(scene.lastSeen.pending).toBe(0);
    expect(await scene.notices()).toHaveLength(1);
  });

  it('tells of a known certificate at another address, where that is wanted', async () => {
    const scene = await logScene(databases, { noticeOfAddresses: true });
    const leaf = webServer(www);
    await scene.ask(leaf);
    for (const last of [7, 8, 8]) {
      scene.now += 1_000;
      await scene.ask(leaf, { address: [198, 51, 100, last] });
      await scene.lastSeen.flush();
    }
    const notices = await scene.notices();
    expect(notices.map(({ kind }) => kind)).toEqual(['first-sight', 'unexpected-address']);
    expect(notices[1]).toMatchObject({ endpoint: { addresses: ['198.51.100.8'] } });
  });

  it('expires with the certificate, and forgets it after a while', async () => {
    const scene = await logScene(databases);
    const [old, young] = [webServer(www), webServer(www, { notAfter: new Date(start + 400 * 24 * hour) })];
    await scene.ask(old);
    await scene.ask(young);
    const parts = { database: scene.database, keepExpiredMs: 10 * 24 * hour };
    scene.now = start + 73 * hour;
    expect(await sweep(parts, scene.now)).toEqual({ cleared: 2, expired: 0, forgotten: 0 });
    scene.now = start + 90 * 24 * hour;
    expect(await sweep(parts, scene.now)).toEqual({ cleared: 0, expired: 1, forgotten: 0 });
    expect(await scene.history(old)).toEqual(['first-sight', 'hold-ended', 'expired']);
    expect(await scene.ask(old)).toMatchObject({ state: 'expired' });
    scene.now = start + 100 * 24 * hour;
    expect(await sweep(parts, scene.now)).toEqual({ cleared: 0, expired: 0, forgotten: 1 });
    for (const table of ['certificate', 'certificate_der', 'certificate_endpoint']) {
      const rows = await scene.database.query<{ sha256: Uint8Array }>(`select sha256 from ${table}`);
      expect(rows.map((row) => Buffer.from(row.sha256))).toEqual([sha256(young.der)]);
    }
    expect(await scene.history(old)).toEqual([]);
    expect(await scene.history(young)).toEqual(['first-sight', 'hold-ended']);
  });

  it('sweeps more than fits one transaction, one coordinator at a time, each certificate once', async () => {
    const scene = await logScene(databases);
    await scene.database.transaction(async (statements) => {
      for (let i = 0; i < 1_203; i++) {
        const id = Buffer.alloc(32);
        id.writeUInt32BE(i);
        await statements.query(
          `insert into certificate (sha256, spki_sha256, ca, issuer, names, not_before, not_after, first_request,
             state, hold_until, events) values ($1, $1, $1, '', '{}', 0, $2, $3, 'held', $3, 0)`,
          [id, start + 1_000 * hour, start],
        );
      }
    });
    const parts = { database: scene.database, keepExpiredMs: 0 };
    const swept = await Promise.all([sweep(parts, start), sweep(parts, start)]);
    expect(swept.filter((one) => one !== undefined)).toEqual([{ cleared: 1_203, expired: 0, forgotten: 0 }]);
    expect(await sweep(parts, start)).toEqual({ cleared: 0, expired: 0, forgotten: 0 });
    const [events] = await scene.database.query<{ n: number }>('select count(*) as n from certificate_event');
    expect(events!.n).toBe(1_203);
  });

  it('makes one first sight of many at the same time, in several coordinators', async () => {
    const config = await databases.config();
    const leaves = Array.from({ length: 5 }, (_, i) => webServer([`host-${i}.example.org`]));
    const script = join(import.meta.dirname, '../testing/first-sights.ts');
    const given = JSON.stringify({
      config,
      leaves: leaves.map(({ der }) => Buffer.from(der).toString('base64')),
    });
    const args = ['--disable-warning=ExperimentalWarning', script, given];
    const outputs = await Promise.all(Array.from({ length: 3 }, () => run(process.execPath, args)));
    for (const { stdout } of outputs)
      expect(JSON.parse(stdout)).toEqual(Array.from({ length: 40 }, () => 'held'));
    const scene = await logScene(databases, { config });
    for (const leaf of leaves) expect(await scene.history(leaf)).toEqual(['first-sight']);
    expect(await scene.notices()).toHaveLength(5);
  });
});
