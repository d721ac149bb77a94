import { describe, expect, test } from 'vitest';
import { type TestServerOptions } from '../testing/tls-server.ts';
import { GuardedAgent, undiciConnector } from './agent.ts';
import {
  bundled,
  ca,
  closing,
  connected,
  ecdsaLeaf,
  failures,
  four,
  guardOf,
  list,
  one,
  place,
  rsaLeaf,
  serve,
  three,
  two,
  voucher,
} from './guard-bed.ts';
import { get as httpsGet } from 'node:https';
import { Agent as UndiciAgent, fetch } from 'undici';

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

  test('breaks nothing where the next connection shows another certificate, and the mode lets all go on', async () => {
    const server = await serve({ certificates: [{ leaf: ecdsaLeaf }], keepAlive: false });
    server.show({ bundle: bundled(voucher(server.port, one, rsaLeaf)) });
    const outcome = await connected(
      guardOf({ mode: 'report-only', routes: ['well-known'] }).guard,
      server.port,
      {
        http: true,
      },
    );
    expect(outcome.check.failures.map(({ code }) => code)).toContain('other-leaf');
    expect(outcome.verdict).toBe('accept');
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

test('a list that has expired chooses nobody', async () => {
  const server = await serve();
  const late = { now: () => list.expires };
  expect(await failures(guardOf({}, late).guard.connect(place(server.port)))).toEqual(['no-choice']);
  // Which breaks nothing where the check must not.
  expect((await connected(guardOf({ mode: 'report-only' }, late).guard, server.port)).verdict).toBe('accept');
  const handshake = { chain: [], address: '127.0.0.1', port: 443 };
  expect((await guardOf({}, late).guard.check('www.example.org', handshake, [])).verdict).toBe('reject');
});

test('rules learn the country of the address', () => {
  const rules = { choose: 3, accept: 1, rules: [{ vas: { notIn: ['@destination'] } }] };
  const countryOf = (address: string) => (address === '192.0.2.1' ? 'JP' : undefined);
  const { guard } = guardOf({ choice: rules }, { countryOf });
  expect(guard.choose('192.0.2.1').vas.map(({ country }) => country)).not.toContain('JP');
  expect(() => guard.choose('192.0.2.2')).toThrow(/country is not known/);
});
