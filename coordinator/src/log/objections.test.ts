import { engines, testDatabases } from '@mecai/database/testing';
import { parseCertificate } from '@mecai/pki';
import { type TestCertificate, testCertificate, testKey } from '@mecai/voucher/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dnsClient } from '../dns/dns-client.ts';
import { type LogScene, allWaivers, hour, logScene, webServer } from '../testing/certificate-log.ts';
import { type TestDns, startDns } from '../../../test/src/parts/dns-server.ts';
import { signedStatement } from '../testing/statements.ts';
import { agesOf, certificateCase, certificatesFor, certificatesIn, countStates } from './cases.ts';
import { factsOf, hex, sha256 } from './certificate-facts.ts';
import { Objections } from './objections.ts';
import { logRoutes } from './routes.ts';

const www = ['www.example.org', '*.shop.example.org'];
const idOf = (certificate: TestCertificate) => hex(sha256(certificate.der));
let dns: TestDns;
/** TXT records by name. */
let records: Record<string, string>;
let ids = 0;

beforeAll(async () => {
  dns = await startDns(({ name, type }) => {
    const data = records[name];
    if (data === 'servfail') return 'servfail';
    return data === undefined || type !== 'TXT' ? 'nxdomain' : [{ type: 'TXT', name, ttl: 0, data }];
  });
});
afterAll(() => dns[Symbol.asyncDispose]());
beforeEach(() => {
  records = {};
});

async function stage(databases: ReturnType<typeof testDatabases>) {
  const scene = await logScene(databases, { policy: allWaivers });
  const vas = ['one', 'two'].map((name) => ({ name, key: testCertificate({ subject: name }) }));
  const objections = new Objections({
    database: () => scene.database,
    dns: dnsClient({ resolvers: [dns.address], timeoutMs: 1_000 }),
    caContacts: new Map([[hex(factsOf(webServer(www).der).ca), ['problem@ca.test']]]),
    publicUrl: () => 'https://va.test',
    newId: () => (++ids).toString(16).padStart(32, '0'),
    now: () => scene.now,
  });
  const routes = logRoutes({
    database: () => scene.database,
    objections,
    authorities: vas.map(({ name, key }) => ({ name, certificate: parseCertificate(key.der) })),
    successors: true,
    now: () => scene.now,
  });
  const call = async (
    method: 'GET' | 'POST',
    path: string,
    parameters: Record<string, string>,
    body: string | Buffer,
  ) => {
    const route = routes.find((one) => one.method === method && one.path === path)!;
    const requester = { address: Uint8Array.of(203, 0, 113, 9) };
    const query = new URLSearchParams();
    const reply = await route.handle({ requester, parameters, query, body: Buffer.from(body) });
    return {
      status: reply.status ?? 200,
      body: 'body' in reply ? Buffer.from(reply.body).toString() : '',
    };
  };
  return {
    scene,
    objections,
    vas: vas.map(({ key }) => key),
    page: (certificate: TestCertificate) =>
      call('GET', '/certificates/:sha256', { sha256: idOf(certificate) }, ''),
    challenge: async (certificate: TestCertificate): Promise<Record<string, unknown>> => {
      const reply = await call('GET', '/certificates/:sha256/objection', { sha256: idOf(certificate) }, '');
      return JSON.parse(reply.body);
    },
    object: (certificate: TestCertificate, domain: string) =>
      call(
        'POST',
        '/certificates/:sha256/objection',
        { sha256: idOf(certificate) },
        JSON.stringify({ domain }),
      ),
    send: (cms: Buffer) => call('POST', '/statements', {}, cms),
    letters: () =>
      scene.database.query('select recipient, subject from delivery join letter on letter.id = about'),
  };
}

/** Seen, and its hold over. */
async function cleared(scene: LogScene, ...certificates: TestCertificate[]) {
  for (const one of certificates) await scene.ask(one);
  scene.now += 73 * hour;
  for (const one of certificates) await scene.ask(one);
}

describe.each(engines)('an objection on %s', (engine) => {
  const databases = testDatabases(engine);

  it('by a TXT record turns a hold into an objection, with evidence, and tells the CA', async () => {
    const { scene, challenge, object, page, letters } = await stage(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    const { records: wanted } = (await challenge(leaf)) as { records: { name: string; value: string }[] };
    expect(wanted.map(({ name }) => name)).toEqual([
      '_mecai-objection.www.example.org',
      '_mecai-objection.shop.example.org',
    ]);
    expect((await object(leaf, 'www.example.org')).status).toBe(403);
    expect(await scene.state(leaf)).toBe('held');
    records[wanted[0]!.name] = wanted[0]!.value;
    expect(await object(leaf, 'WWW.example.org.')).toMatchObject({ status: 201 });
    scene.now += 100 * hour;
    expect(await scene.ask(leaf)).toMatchObject({ state: 'objected' });
    expect(await scene.history(leaf)).toEqual(['first-sight', 'objected']);
    expect(await scene.details(leaf, 'objected')).toEqual([
      {
        by: 'dns',
        case: idOf(leaf),
        domain: 'www.example.org',
        record: wanted[0]!.name,
        value: wanted[0]!.value,
        requester: '203.0.113.9',
      },
    ]);
    expect((await letters()).map((row) => ({ ...row }))).toEqual([
      { recipient: 'mailto:problem@ca.test', subject: `objection to certificate ${idOf(leaf)}` },
    ]);
    expect((await page(leaf)).body).toContain('objected to: no voucher is issued');
    expect(await certificatesIn(scene.database, 'objected', 10)).toMatchObject([{ sha256: idOf(leaf) }]);
    expect(await certificatesIn(scene.database, 'held', 10)).toEqual([]);
  });

  it('may be proven at a domain above the name, and not at another', async () => {
    const { scene, object } = await stage(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    const value = `sha256=${idOf(leaf)}`;
    for (const domain of ['org', 'example.com', 'ample.org', 'x.www.example.org', '*.example.org']) {
      records[`_mecai-objection.${domain}`] = value;
      expect([domain, (await object(leaf, domain)).status]).toEqual([domain, 422]);
    }
    records['_mecai-objection.example.org'] = value;
    expect((await object(leaf, 'example.org')).status).toBe(201);
  });

  it('is not proven by a record for another certificate, nor while DNS is away', async () => {
    const { scene, object } = await stage(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    records['_mecai-objection.www.example.org'] = `sha256=${'00'.repeat(32)}`;
    expect((await object(leaf, 'www.example.org')).status).toBe(403);
    records['_mecai-objection.www.example.org'] = 'servfail';
    await expect(object(leaf, 'www.example.org')).rejects.toMatchObject({ code: 'dns-failed' });
    expect(await scene.state(leaf)).toBe('held');
    expect((await object(webServer(www), 'www.example.org')).status).toBe(404);
  });

  it('stops vouchers for what was cleared already, and for every certificate with its key', async () => {
    const { scene, object } = await stage(databases);
    const key = testKey();
    const [leaf, sibling, later] = [1, 2, 3].map((serial) => webServer(www, { key, serial }));
    const stranger = webServer(www);
    await cleared(scene, leaf!, sibling!, stranger);
    records['_mecai-objection.www.example.org'] = `sha256=${idOf(leaf!)}`;
    await object(leaf!, 'www.example.org');
    expect(await scene.state(leaf!)).toBe('objected');
    expect(await scene.state(sibling!)).toBe('objected');
    expect(await scene.state(stranger)).toBe('cleared');
    // Nor does a new one of that key get anywhere.
    expect(await scene.ask(later!)).toMatchObject({ state: 'objected' });
    expect(await scene.details(later!, 'objected')).toMatchObject([{ by: 'key' }]);
  });

  it('is decided by the operator, and the same proof does not raise it again', async () => {
    const { scene, objections, object } = await stage(databases);
    const key = testKey();
    const [leaf, sibling] = [1, 2].map((serial) => webServer(www, { key, serial }));
    await cleared(scene, leaf!, sibling!);
    records['_mecai-objection.www.example.org'] = `sha256=${idOf(leaf!)}`;
    await object(leaf!, 'www.example.org');
    expect(await object(leaf!, 'www.example.org')).toEqual({ status: 200, body: '{"outcome":"stands"}\n' });
    expect(await objections.clear(sha256(leaf!.der), { author: 'Ada' })).toBe(2);
    expect(await scene.ask(leaf!)).toMatchObject({ state: 'cleared' });
    expect(await scene.ask(sibling!)).toMatchObject({ state: 'cleared' });
    expect((await object(leaf!, 'www.example.org')).status).toBe(409);
    expect(await scene.history(leaf!)).toEqual(['first-sight', 'hold-ended', 'objected', 'cleared']);
    await expect(objections.clear(sha256(leaf!.der), {})).rejects.toMatchObject({ code: 'bad-request' });
    expect(await objections.clear(sha256(webServer(www).der), {})).toBeUndefined();
  });

  it('may be the operator’s own, and a hold may be cleared by them', async () => {
    const { scene, objections } = await stage(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    expect(await objections.clear(sha256(leaf.der), { author: 'Ada' })).toBe(1);
    expect(await scene.ask(leaf)).toMatchObject({ state: 'cleared' });
    const evidence = { by: 'operator', detail: { author: 'Ada', reason: 'a call' } } as const;
    expect(await objections.object(sha256(leaf.der), evidence)).toBe('objected');
    expect(await scene.details(leaf, 'objected')).toMatchObject([{ by: 'operator', reason: 'a call' }]);
  });

  it('may be signed with the key of another certificate for the name that is vouched for', async () => {
    const { scene, send } = await stage(databases);
    const [own, rogue, other] = [webServer(www), webServer(www), webServer(['other.example.org'])];
    await cleared(scene, own, other);
    await scene.ask(rogue);
    const about = (by: TestCertificate, domain = 'www.example.org') => ({
      type: 'mecai-objection',
      certificate: idOf(rogue),
      by: idOf(by),
      domain,
    });
    const refused: [string, Buffer, number][] = [
      ['signed with another key', signedStatement(about(own), rogue), 403],
      ['by a certificate for other names', signedStatement(about(other), other), 403],
      ['by a certificate that is on hold', signedStatement(about(rogue), rogue), 403],
      ['by a certificate that is not known', signedStatement(about(webServer(www)), own), 403],
      ['about a domain that is not in it', signedStatement(about(own, 'other.example.org'), own), 422],
    ];
    for (const [why, cms, status] of refused) expect([why, (await send(cms)).status]).toEqual([why, status]);
    expect(await scene.state(rogue)).toBe('held');
    expect((await send(signedStatement(about(own), own))).status).toBe(201);
    expect(await scene.state(rogue)).toBe('objected');
    expect(await scene.details(rogue, 'objected')).toMatchObject([
      { by: 'certificate', certificate: idOf(own), domain: 'www.example.org' },
    ]);
  });

  it('can be looked up: everything that is known, by fingerprint and by name', async () => {
    const { scene, page } = await stage(databases);
    const leaf = webServer(['xn--bcher-kva.example', 'x"><script>alert(1)</script>', ...www]);
    await scene.ask(leaf);
    const found = await certificateCase(scene.database, sha256(leaf.der));
    expect(found).toMatchObject({
      sha256: idOf(leaf),
      state: 'held',
      names: ['xn--bcher-kva.example', 'x"><script>alert(1)</script>', ...www],
      endpoints: [{ address: '198.51.100.7', port: 443 }],
      events: [{ kind: 'first-sight', at: scene.now }],
      endorsements: [],
    });
    expect(await certificatesFor(scene.database, '*.shop.example.org', 10)).toMatchObject([
      { sha256: idOf(leaf) },
    ]);
    expect(await certificatesFor(scene.database, 'shop.example.org', 10)).toEqual([]);
    const { body } = await page(leaf);
    expect(body).toContain('<code>xn--bcher-kva.example</code> (<bdi>bücher.example</bdi>)');
    expect(body).not.toContain('<script>alert');
    expect((await page(webServer(www))).status).toBe(404);
    const counts = await countStates(scene.database, undefined, 0);
    expect(counts).toEqual({ held: 1, objected: 0, cleared: 0, expired: 0, countedAt: 0 });
    await scene.database.query(`update certificate set state = 'cleared'`);
    const later = await countStates(scene.database, counts, 1_000);
    expect(later).toEqual({ held: 0, objected: 0, cleared: 1, expired: 0, countedAt: 1_000 });
    // What is many is not counted again and again.
    const before = { ...later, cleared: 5_000_000 };
    expect(await countStates(scene.database, before, 600_999)).toEqual(before);
    expect(await countStates(scene.database, before, 601_000)).toEqual({ ...later, countedAt: 601_000 });
  });
});

describe.each(engines)('how long something waits, on %s', (engine) => {
  const databases = testDatabases(engine);

  it('is counted from the first request of what is held, and from the last objection', async () => {
    const { scene, objections } = await stage(databases);
    expect(await agesOf(scene.database)).toEqual({
      held: undefined,
      objected: undefined,
      holdEnds: undefined,
    });
    const began = scene.now;
    const [rogue, late] = [webServer(www), webServer(www)];
    await scene.ask(rogue);
    scene.now += 1_000;
    await scene.ask(late);
    expect(await agesOf(scene.database)).toEqual({
      held: began,
      objected: undefined,
      holdEnds: began + 72 * hour,
    });
    const object = () => objections.object(sha256(rogue.der), { by: 'operator', detail: { author: 'Ada' } });
    await object();
    expect(await agesOf(scene.database)).toMatchObject({ held: began + 1_000, objected: scene.now });
    scene.now += 5_000;
    await objections.clear(sha256(rogue.der), { author: 'Ada' });
    scene.now += 5_000;
    await object();
    expect(await agesOf(scene.database)).toMatchObject({ objected: scene.now });
  });
});

describe.each(engines)('a signed statement on %s', (engine) => {
  const databases = testDatabases(engine);

  it('declares a successor in advance, by certificate or by key, whichever CA issues it', async () => {
    const { scene, send } = await stage(databases);
    const current = webServer(www);
    const [byCertificate, key] = [webServer(www), testKey()];
    const byKey = webServer(['www.example.org'], { key });
    await cleared(scene, current);
    const successors = [idOf(byCertificate), hex(factsOf(byKey.der).spkiSha256)];
    for (const successor of successors) {
      const statement = { type: 'mecai-successor', current: idOf(current), successor };
      expect((await send(signedStatement(statement, byKey))).status).toBe(403);
      expect((await send(signedStatement(statement, current))).status).toBe(201);
    }
    scene.now += 1;
    for (const one of [byCertificate, byKey]) {
      expect(await scene.ask(one)).toMatchObject({ state: 'cleared' });
      expect(await scene.details(one, 'waived')).toMatchObject([
        { by: 'successor', certificate: idOf(current) },
      ]);
    }
    // Unlike a renewal, the owner hears of it.
    expect(await scene.notices()).toHaveLength(3);
    expect(await scene.history(current)).toEqual([
      'first-sight',
      'hold-ended',
      'successor-declared',
      'successor-declared',
    ]);
  });

  it('declares no successor for other names, nor of what is seen already, nor for what is held', async () => {
    const { scene, send } = await stage(databases);
    const [current, held] = [webServer(www), webServer(www)];
    const [elsewhere, seen, next] = [webServer(['other.example.org']), webServer(www), webServer(www)];
    await cleared(scene, current);
    for (const one of [held, seen]) await scene.ask(one);
    scene.now += 1;
    const declare = (by: TestCertificate, successor: TestCertificate) =>
      send(signedStatement({ type: 'mecai-successor', current: idOf(by), successor: idOf(successor) }, by));
    expect((await declare(current, elsewhere)).status).toBe(201);
    expect((await declare(current, seen)).status).toBe(201);
    expect((await declare(held, next)).status).toBe(403);
    scene.now += 1;
    for (const one of [elsewhere, seen, next]) expect(await scene.ask(one)).toMatchObject({ state: 'held' });
  });

  it('expedites where two VAs have signed one', async () => {
    const { scene, send, vas } = await stage(databases);
    const leaf = webServer(www);
    await scene.ask(leaf);
    const statement = { type: 'mecai-expedite', certificate: idOf(leaf) };
    expect((await send(signedStatement(statement, testCertificate({ subject: 'one' })))).status).toBe(403);
    for (let i = 0; i < 2; i++) expect((await send(signedStatement(statement, vas[0]!))).status).toBe(201);
    expect(await scene.ask(leaf)).toMatchObject({ state: 'held' });
    expect((await send(signedStatement(statement, vas[1]!, '-nocerts'))).status).toBe(201);
    expect(await scene.ask(leaf)).toMatchObject({ state: 'cleared' });
    expect(await scene.details(leaf, 'waived')).toMatchObject([{ by: 'expedite' }]);
  });

  it('that says something else, or nothing, is refused', async () => {
    const { send, vas } = await stage(databases);
    const good = { type: 'mecai-expedite', certificate: '00'.repeat(32) };
    const wrong: Buffer[] = [
      Buffer.from('no CMS'),
      Buffer.alloc(0),
      signedStatement('not JSON', vas[0]!),
      signedStatement({ ...good, type: 'mecai-approve' }, vas[0]!),
      signedStatement({ ...good, certificate: 'AA'.repeat(32) }, vas[0]!),
      signedStatement({ ...good, more: 1 }, vas[0]!),
      signedStatement(good, vas[0]!).subarray(0, 200),
    ];
    for (const cms of wrong) await expect(send(cms)).rejects.toMatchObject({ code: 'bad-request' });
    // A signature over other content: the digest no longer fits.
    const changed = signedStatement(good, vas[0]!);
    changed.write('1', changed.indexOf('0000000000'));
    expect((await send(changed)).status).toBe(403);
  });
});
