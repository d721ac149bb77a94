import { constructed, der, implicit, RevocationSource } from '@mecai/pki';
import { bundleMediaType, encodeVoucherBundle, type Voucher } from '@mecai/voucher';
import { testCrl, testExtension } from '@mecai/voucher/testing';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { get as httpsGet } from 'node:https';
import { afterEach, describe, expect, test } from 'vitest';
import { Agent as UndiciAgent, fetch } from 'undici';
import type { ServerFailure } from '../checker.ts';
import { ClientError } from '../error.ts';
import { pem } from '../test-va-server.ts';
import { startServer, type TestServer, type TestServerOptions } from '../testing/tls-server.ts';
import {
  chainOf,
  listedVa,
  listOf,
  serverCertificate,
  voucherFor,
  webIntermediate,
  webRoot,
} from '../testing/world.ts';
import { GuardedAgent, undiciConnector } from './agent.ts';
import { Guard, type GuardOptions, type Outcome } from './guard.ts';
import { type ClientPolicy, defaultPolicy } from './policy.ts';

const start = new Date();
const [one, two, three, four] = [1, 2, 3, 4].map((i) => listedVa(i, {}, start));
const list = listOf([one!, two!, three!], { expires: new Date(start.getTime() + 86_400_000) });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ecdsaLeaf = serverCertificate();
const rsaLeaf = serverCertificate({ key: rsa, serial: 10 });
const ca = pem(webRoot.der);

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
async function serve(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await startServer({ certificates: [{ leaf: ecdsaLeaf }], ...options });
  closing.push(() => server.close());
  return server;
}
const bundled =
  (...vouchers: readonly Uint8Array[]): NonNullable<TestServerOptions['bundle']> =>
  (_, response) => {
    const file = Buffer.from(encodeVoucherBundle(vouchers));
    response.writeHead(200, { 'content-type': bundleMediaType, 'content-length': file.length }).end(file);
  };

const voucher = (port: number, va = one!, leaf = ecdsaLeaf, fields: Partial<Voucher> = {}) => {
  const at = new Date(Math.floor(Date.now() / 1000) * 1000);
  return va.issue(
    voucherFor({ chain: chainOf(leaf, webIntermediate), address: '127.0.0.1', port, at }, fields),
  );
};

function guardOf(policy: Partial<ClientPolicy> = {}, options: Partial<GuardOptions> = {}) {
  const outcomes: Outcome[] = [];
  const guard = new Guard({
    list,
    policy: { ...defaultPolicy, ...policy },
    now: () => new Date(),
    random: randomBytes,
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  });
  return { guard, outcomes };
}
const place = (port: number) => ({ host: '127.0.0.1', port, servername: 'www.example.org', ca });

async function failures(action: Promise<unknown>): Promise<string[]> {
  try {
    await action;
    return [];
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    if (error.code !== 'refused') return [`ClientError ${error.code}`];
    return error.failures.map(({ code }: ServerFailure) => code);
  }
}
async function connected(guard: Guard, port: number, more = {}): Promise<Outcome> {
  const { socket, outcome } = await guard.connect({ ...place(port), ...more });
  socket.destroy();
  return outcome!;
}
const body = (url: string, agent: GuardedAgent) =>
  new Promise<string>((resolve, reject) => {
    httpsGet(url, { agent, servername: 'www.example.org', ca }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text)).on('error', reject);
    }).on('error', reject);
  });

describe('the OCSP slot', () => {
  test('a voucher of a chosen VA lets the connection go on, without a request or a second connection', async () => {
    const server = await serve();
    server.show({ certificates: [{ leaf: ecdsaLeaf, slot: [voucher(server.port)] }] });
    const outcome = await connected(guardOf().guard, server.port, { http: true });
    expect(outcome).toMatchObject({ verdict: 'accept', mode: 'enforce', routes: ['ocsp'] });
    expect(outcome.check.vouchers[0]).toMatchObject({ route: 'ocsp', va: { id: 'va-1' }, failures: [] });
    expect(server.requests).toEqual([]);
    expect(server.connections).toBe(1);
  });

  test('one for another certificate, or of a VA that was not chosen, does not', async () => {
    const server = await serve();
    const { guard } = guardOf({ routes: ['ocsp'] });
    const refused = async (slot: Uint8Array) => {
      server.show({ certificates: [{ leaf: ecdsaLeaf, slot: [slot] }] });
      return failures(guard.connect(place(server.port)));
    };
    expect(await refused(voucher(server.port, one, rsaLeaf))).toEqual(['other-leaf']);
    expect(await refused(voucher(server.port, four))).toEqual(['untrusted-va']);
    expect(await refused(voucher(server.port + 1))).toEqual(['other-port']);
  });
});

describe('the file of the server', () => {
  test('is read on the connection that the request then takes', async () => {
    const server = await serve();
    server.show({ bundle: bundled(voucher(server.port, four), voucher(server.port, two)) });
    const agent = new GuardedAgent(guardOf().guard, { keepAlive: false });
    expect(await body(`https://127.0.0.1:${server.port}/secret`, agent)).toBe('hello');
    expect(server.requests).toHaveLength(2);
    const [file, request] = server.requests;
    expect(file!.url).toMatch(/^\/\.well-known\/mecai\/[0-9a-f]{64}$/);
    expect(file!.host).toBe(`www.example.org:${server.port}`);
    expect(request!.url).toBe('/secret');
    expect(request!.connection).toBe(file!.connection);
    expect(server.connections).toBe(1);
  });

  test('is asked for once: the next connection has it already', async () => {
    const server = await serve();
    server.show({
      bundle: bundled(voucher(server.port, one), voucher(server.port, two), voucher(server.port, three)),
    });
    const { guard } = guardOf();
    for (let i = 0; i < 5; i++) await connected(guard, server.port, { http: true });
    expect(server.requests).toHaveLength(1);
  });

  test('is asked for on the way to another connection, where the server keeps none open', async () => {
    const server = await serve({ keepAlive: false });
    server.show({ bundle: bundled(voucher(server.port)) });
    const agent = new GuardedAgent(guardOf().guard);
    closing.push(() => agent.destroy());
    expect(await body(`https://127.0.0.1:${server.port}/`, agent)).toBe('hello');
    expect(server.connections).toBe(2);
  });

  test('is not asked for where HTTP is not spoken', async () => {
    const server = await serve();
    expect(await failures(guardOf({ routes: ['well-known'] }).guard.connect(place(server.port)))).toContain(
      'no-voucher',
    );
    expect(server.requests).toEqual([]);
  });

  test.each<[string, NonNullable<TestServerOptions['bundle']>]>([
    ['that is not there', (_, response) => void response.writeHead(404).end()],
    [
      'that is a redirect',
      (_, response) => void response.writeHead(302, { location: 'https://x.test/' }).end(),
    ],
    ['that is none', (_, response) => void response.end('<html>')],
    ['without end', (_, response) => void response.writeHead(200).write(Buffer.alloc(500_000))],
    ['that never comes', () => undefined],
    [
      'cut off',
      (_, response) =>
        void response.writeHead(200, { 'content-length': 9 }).write('x', () => response.destroy()),
    ],
    ['behind something that is no HTTP', (_, response) => void response.socket!.end('garbage\r\n\r\n')],
  ])('%s holds no voucher', async (_, bundle) => {
    const server = await serve({ bundle });
    const { guard } = guardOf({ routes: ['well-known'] }, { bundleMs: 300 });
    expect(await failures(guard.connect({ ...place(server.port), http: true }))).toContain('no-voucher');
  });
});

describe('what leaves the client of a refused connection', () => {
  test('is nothing of the request: https.Agent', async () => {
    const server = await serve();
    const agent = new GuardedAgent(guardOf({ routes: ['ocsp'] }).guard);
    await expect(body(`https://127.0.0.1:${server.port}/secret`, agent)).rejects.toMatchObject({
      code: 'refused',
    });
    expect(server.requests).toEqual([]);
  });

  test('nor with undici and fetch, which go on once there is a voucher', async () => {
    const server = await serve();
    const { guard } = guardOf({ routes: ['ocsp', 'well-known'] });
    const connect = undiciConnector(guard, { ca, servername: 'www.example.org' });
    const dispatcher = new UndiciAgent({ connect });
    closing.push(() => dispatcher.destroy());
    const url = `https://127.0.0.1:${server.port}/secret`;
    await expect(fetch(url, { dispatcher })).rejects.toMatchObject({ cause: { code: 'refused' } });
    expect(server.requests.map(({ url: path }) => path)).not.toContain('/secret');
    server.show({ bundle: bundled(voucher(server.port)) });
    expect(await (await fetch(url, { dispatcher })).text()).toBe('hello');
    await expect(fetch(`http://127.0.0.1:${server.port}/`, { dispatcher })).rejects.toThrow('fetch failed');
  });
});

describe('modes', () => {
  test('off checks nothing; report-only and warn let go on what the check refused', async () => {
    const server = await serve();
    const { guard, outcomes } = guardOf({
      routes: [],
      hosts: new Map([
        ['off.example.org', 'off'],
        ['.report.example.org', 'report-only'],
        ['warn.example.org', 'warn'],
      ]),
    });
    const to = async (servername: string) => {
      const checkServerIdentity = () => undefined;
      const { socket, outcome } = await guard.connect({
        ...place(server.port),
        servername,
        checkServerIdentity,
      });
      socket.destroy();
      return outcome;
    };
    expect(await to('off.example.org')).toBeUndefined();
    expect(outcomes).toEqual([]);
    expect(await to('a.report.example.org')).toMatchObject({ mode: 'report-only', verdict: 'accept' });
    expect(await to('warn.example.org')).toMatchObject({ mode: 'warn', verdict: 'warn' });
    expect(await failures(to('www.example.org'))).toContain('no-voucher');
    expect(outcomes.map(({ check }) => check.failures[0]!.code)).toEqual(Array(3).fill('no-voucher'));
  });
});

describe('the other certificate', () => {
  const both = [{ leaf: ecdsaLeaf }, { leaf: rsaLeaf }];

  test('is tried when the check of the first fails, with the same choice', async () => {
    const server = await serve({ certificates: both });
    const byPath: NonNullable<TestServerOptions['bundle']> = (_, response) =>
      bundled(voucher(server.port, one, rsaLeaf))(_, response);
    server.show({ bundle: byPath });
    const outcome = await connected(guardOf().guard, server.port, { http: true });
    expect(outcome.verdict).toBe('accept');
    expect(Buffer.from(outcome.handshake.chain[0]!).equals(rsaLeaf.der)).toBe(true);
    expect(outcome.firstFailures!.map(({ code }) => code)).toContain('other-leaf');
  });

  test('that fails as well leaves the failures of the first', async () => {
    const server = await serve({ certificates: both });
    server.show({ bundle: bundled(voucher(server.port + 1)) });
    const { guard, outcomes } = guardOf({ routes: ['well-known'] });
    expect(await failures(guard.connect({ ...place(server.port), http: true }))).toEqual([
      'other-port',
      'certificate-status-unknown',
    ]);
    expect(outcomes).toHaveLength(1);
  });

  test('that the server does not have changes nothing', async () => {
    const server = await serve();
    expect(await failures(guardOf({ routes: [] }).guard.connect(place(server.port)))).toEqual([
      'no-voucher',
      'certificate-status-unknown',
    ]);
  });
});

describe('an intranet', () => {
  const intranet = [{ suffix: 'corp.example', roots: [webRoot.der] }];
  const leaf = serverCertificate({ dnsNames: ['wiki.corp.example'], serial: 20 });
  const at = (port: number) => ({ host: '127.0.0.1', port, servername: 'wiki.corp.example' });
  const uri = der.tlv(implicit(6), Buffer.from('http://crl.corp.example/'));
  const point = der.sequence(der.tlv(constructed(0), der.tlv(constructed(0), uri)));
  const withCrl = serverCertificate({
    dnsNames: ['wiki.corp.example'],
    serial: 21,
    extensions: [testExtension('2.5.29.31', false, der.sequence(point))],
  });

  test('needs no voucher, but its CA and a status that is known', async () => {
    const server = await serve({ certificates: [{ leaf, slot: [] }] });
    const { guard, outcomes } = guardOf({ intranet });
    (await guard.connect(at(server.port))).socket.destroy();
    expect(outcomes[0]).toMatchObject({ intranet: 'corp.example', verdict: 'accept' });
    server.show({ certificates: [{ leaf }] });
    expect(await failures(guardOf({ intranet, mode: 'warn' }).guard.connect(at(server.port)))).toEqual([
      'certificate-status-unknown',
    ]);
  });

  test('is pinned: a certificate of another CA is not even connected to, nor passes the check of other stacks', async () => {
    const server = await serve({ certificates: [{ leaf, slot: [] }] });
    const others = [{ suffix: 'corp.example', roots: [one!.root.der] }];
    expect(await failures(guardOf({ intranet: others }).guard.connect(at(server.port)))).toEqual([
      'ClientError unreachable',
    ]);
    const handshake = { chain: chainOf(leaf, webIntermediate), address: '127.0.0.1', port: 443 };
    const outcome = await guardOf({ intranet: others }).guard.check('wiki.corp.example', handshake, []);
    expect(outcome).toMatchObject({ verdict: 'reject', check: { failures: [{ code: 'not-pinned-ca' }] } });
    const unreadable = { ...handshake, chain: [Uint8Array.of(1)] };
    expect((await guardOf({ intranet }).guard.check('wiki.corp.example', unreadable, [])).verdict).toBe(
      'reject',
    );
  });

  test('asks its CA where nothing is stapled', async () => {
    const server = await serve({ certificates: [{ leaf: withCrl }] });
    const crl = (revoked: boolean) =>
      testCrl(webIntermediate, {
        number: 1,
        thisUpdate: new Date(Date.now() - 3_600_000),
        nextUpdate: new Date(Date.now() + 3_600_000),
        ...(revoked && { revoked: [{ certificate: withCrl }] }),
      });
    const asking = (revoked: boolean) => {
      const fetchCrl = () => Promise.resolve(crl(revoked));
      const intranetSource = new RevocationSource({ fetch: fetchCrl, clock: () => new Date() });
      return guardOf({ intranet }, { intranetSource }).guard.connect(at(server.port));
    };
    (await asking(false)).socket.destroy();
    expect(await failures(asking(true))).toEqual(['certificate-revoked']);
  });
});

test('a list that has expired chooses nobody', async () => {
  const server = await serve();
  const { guard } = guardOf({}, { now: () => list.expires });
  expect(await failures(guard.connect(place(server.port)))).toEqual(['ClientError va-list-expired']);
});

test('rules learn the country of the address', () => {
  const rules = { choose: 3, accept: 1, rules: [{ vas: { notIn: ['@destination'] } }] };
  const countryOf = (address: string) => (address === '192.0.2.1' ? 'JP' : undefined);
  const { guard } = guardOf({ choice: rules }, { countryOf });
  expect(guard.choose('192.0.2.1').vas.map(({ country }) => country)).not.toContain('JP');
  expect(() => guard.choose('192.0.2.2')).toThrow(/country is not known/);
});
