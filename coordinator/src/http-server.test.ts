import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { parsePrefix } from '@mecai/addresses';
import {
  type ChainResult,
  type VoucherRequest,
  decodeVoucherResponse,
  encodeTbsVoucherRequest,
  encodeVoucherRequest,
  encodeVoucherRequestJson,
  maxRequestOctets,
  mediaTypes,
  signKeyProof,
} from '@mecai/voucher';
import { testCertificate } from '@mecai/voucher/testing';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress } from '@mecai/addresses';
import { type CoordinatorConfig, coordinatorConfig } from './config.ts';
import type { Decided, Question } from './decide.ts';
import { CoordinatorError } from './error.ts';
import { type VrpServer, startVrpServer } from './http-server.ts';
import { Nonces } from './nonces.ts';
import { chainOf, keyPemOf, pemOf, serverName, webIntermediate, webLeaf, webRoot } from './testing/chains.ts';
import { type Call, call, json } from './testing/https.ts';
import { keptLog } from './testing/log.ts';
import { VrpHandler } from './vrp-handler.ts';

const address = Uint8Array.of(198, 51, 100, 7);
const leaf = webLeaf();
const good: VoucherRequest = { ipv4: address, port: 443, serverName, chains: [chainOf(leaf)] };
const goodDer = encodeVoucherRequest(good);
const https = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
const nonces = new Nonces(randomBytes(32));
const { log, lines } = keptLog();

const defaults = coordinatorConfig.shape.limits.parse({});
let questions: Question[] = [];
let decide: (question: Question) => Promise<Decided>;
const issued: ChainResult = { status: 'issued', voucher: Uint8Array.of(1), perspectives: [] };
const decided = (result: ChainResult): Decided => ({ result, unavailable: false });

interface Settings {
  readonly limits?: Partial<CoordinatorConfig['limits']>;
  readonly requireKeyProof?: boolean;
  readonly requestWithinMs?: number;
  readonly now?: () => number;
}

const start = ({ limits, requireKeyProof = false, requestWithinMs, now = Date.now }: Settings = {}) =>
  startVrpServer({
    host: '127.0.0.1',
    port: 0,
    tls: { certificate: Buffer.from(pemOf(https)), key: Buffer.from(keyPemOf(https)) },
    handler: new VrpHandler({
      config: { limits: { ...defaults, ...limits }, requireKeyProof },
      allowedTargets: [parsePrefix('198.51.100.0/24'), parsePrefix('2001:db8::/32')],
      nonces,
      log,
      now,
      decide: (question) => {
        questions.push(question);
        return decide(question);
      },
    }),
    nonces,
    maxInFlight: limits?.inFlight ?? defaults.inFlight,
    ...(requestWithinMs !== undefined && { requestWithinMs }),
    log,
  });

/** A server of this test alone. */
async function using(settings: Settings, act: (server: VrpServer) => Promise<void>): Promise<void> {
  const server = await start(settings);
  try {
    await act(server);
  } finally {
    await server.close(0);
  }
}

let server: VrpServer;
const unlimited = { perMinute: 100_000_000, burst: 100_000_000 };
beforeAll(async () => {
  server = await start({
    limits: { authenticated: unlimited, unauthenticated: unlimited, target: unlimited, global: unlimited },
  });
});
afterAll(() => server.close(0));
beforeEach(() => {
  questions = [];
  lines.length = 0;
  decide = () => Promise.resolve(decided(issued));
});

const ask = (body: Uint8Array | string, rest: Call = {}) => call(server.url, { body, ...rest });
const askJson = (body: unknown, rest: Call = {}) =>
  ask(typeof body === 'string' ? body : JSON.stringify(body), { headers: json, ...rest });
function jsonOf(request: VoucherRequest): object {
  const value: object = JSON.parse(encodeVoucherRequestJson(request));
  return value;
}
const text: unknown = expect.stringMatching(/./);
const saying = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const results = (body: Uint8Array) => decodeVoucherResponse(body).results;
const problem = (status: number, reason?: string) => ({
  type: 'about:blank',
  title: text,
  detail: text,
  status,
  ...(reason !== undefined && { reason }),
});

describe('a good request', () => {
  it('in DER is answered in DER', async () => {
    const { status, headers, body } = await ask(goodDer);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-type': mediaTypes.response, 'cache-control': 'no-store' });
    expect(results(body)).toMatchObject([{ status: 'issued' }]);
    expect(questions).toHaveLength(1);
    expect(questions[0]).toMatchObject({
      subject: { addresses: [Buffer.from(address)], port: 443, serverName, startTls: '' },
      requester: Uint8Array.of(127, 0, 0, 1),
      authenticated: false,
    });
    expect(questions[0]!.subject.chain.map((one) => Buffer.from(one))).toEqual(
      chainOf(leaf).map((one) => Buffer.from(one)),
    );
  });

  it('in JSON is answered in JSON', async () => {
    const { status, headers, json: read } = await askJson(jsonOf(good));
    expect([status, headers['content-type']]).toEqual([200, mediaTypes.json]);
    expect(read()).toMatchObject({ version: 1, results: [{ status: 'issued', voucher: 'AQ==' }] });
  });

  it.each([
    [mediaTypes.request, mediaTypes.json, mediaTypes.json],
    [mediaTypes.json, mediaTypes.response, mediaTypes.response],
    [mediaTypes.request, '*/*', mediaTypes.response],
    [mediaTypes.json, 'text/html, */*;q=0.1', mediaTypes.json],
    [mediaTypes.request, `${mediaTypes.json};q=0.5, ${mediaTypes.response};q=0.4`, mediaTypes.json],
    [mediaTypes.json, `${mediaTypes.response};q=0.5, ${mediaTypes.json};q=0.9`, mediaTypes.json],
    [mediaTypes.request, `${mediaTypes.json};q=0`, mediaTypes.response],
    [mediaTypes.request, `${mediaTypes.json}, ${mediaTypes.response}`, mediaTypes.response],
  ])('of type %s that accepts %s gets %s', async (type, accept, expected) => {
    const body = type === mediaTypes.json ? encodeVoucherRequestJson(good) : goodDer;
    const { status, headers } = await ask(body, { headers: { 'content-type': type, accept } });
    expect([status, headers['content-type']]).toEqual([200, expected]);
  });

  it('may name a parameter of its media type, in any case', async () => {
    const { status } = await askJson(jsonOf(good), {
      headers: { 'content-type': 'Application/JSON; charset=utf-8' },
    });
    expect(status).toBe(200);
  });

  it('of four chains gets four results in their order, and 200 whatever they are', async () => {
    const leaves = [leaf, ...[0, 1, 2].map(() => webLeaf())];
    const outcomes: ChainResult[] = [
      { status: 'mismatch', perspectives: [] },
      issued,
      { status: 'refused', reason: 'own-ca', perspectives: [] },
      { status: 'inconclusive', retryAfter: 60, perspectives: [] },
    ];
    decide = ({ subject }) => {
      const index = leaves.findIndex(({ der }) => Buffer.compare(der, subject.chain[0]!) === 0);
      return Promise.resolve({ result: outcomes[index]!, unavailable: index === 3 });
    };
    const { status, body } = await ask(encodeVoucherRequest({ ...good, chains: leaves.map(chainOf) }));
    expect(status).toBe(200);
    expect(results(body).map((one) => one.status)).toEqual(['mismatch', 'issued', 'refused', 'inconclusive']);
  });
});

describe('a malformed request leaves nothing behind', () => {
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', new Uint8Array()],
    ['a trailing byte', Buffer.concat([goodDer, Buffer.alloc(1)])],
    ['a missing byte', goodDer.subarray(0, -1)],
    [
      'BER of indefinite length',
      Buffer.concat([Buffer.of(0x30, 0x80), goodDer.subarray(4), Buffer.alloc(2)]),
    ],
    ['text', Buffer.from('hello')],
    ['as many zeros as fit', Buffer.alloc(maxRequestOctets)],
  ];
  it.each(cases)('in DER: %s', async (_, bytes) => {
    const { status, headers, body } = await ask(bytes);
    expect([status, headers['content-type']]).toEqual([400, mediaTypes.response]);
    expect(results(body)).toMatchObject([{ status: 'refused', reason: 'malformed', perspectives: [] }]);
    expect(questions).toEqual([]);
  });

  const jsonCases: readonly (readonly [string, unknown])[] = [
    ['no JSON', '{'],
    ['two values', '{}{}'],
    ['a list', []],
    ['an unknown member', { ...jsonOf(good), hurry: true }],
    ['an unknown member with half a character', `{"\\ud83d":1}`],
    ['a member twice', encodeVoucherRequestJson(good).replace('"port"', '"version":1,"port"')],
    ['another version', { ...jsonOf(good), version: 2 }],
    ['a port in quotes', { ...jsonOf(good), port: '443' }],
    ['a port out of range', { ...jsonOf(good), port: 65_536 }],
    ['no chains', { ...jsonOf(good), chains: [] }],
    ['five chains', { ...jsonOf(good), chains: Array(5).fill(chainOf(leaf).map(base64)) }],
    ['two IPv4 addresses', { ...jsonOf(good), addresses: ['198.51.100.7', '198.51.100.8'] }],
    ['a name in capitals', { ...jsonOf(good), serverName: 'WWW.example.org' }],
    ['an octal address', { ...jsonOf(good), addresses: ['0198.51.100.7'] }],
    ['an address with a zone', { ...jsonOf(good), addresses: ['fe80::1%eth0'] }],
    ['STARTTLS of a protocol that has none', { ...jsonOf(good), startTls: 'gopher' }],
  ];
  it.each(jsonCases)('in JSON: %s', async (_, body) => {
    const { status, headers, json: read } = await askJson(body);
    expect([status, headers['content-type']]).toEqual([400, 'application/problem+json']);
    expect(read()).toEqual(problem(400, 'malformed'));
    expect(questions).toEqual([]);
  });

  const meanings: readonly (readonly [string, VoucherRequest['chains'], RegExp])[] = [
    ['a chain that does not link', [[leaf.der, webRoot.der]], /issuer/],
    ['a name not in the certificate', [chainOf(webLeaf({ dnsNames: ['example.org'] }))], /not for www/],
    ['the same leaf twice', [chainOf(leaf), chainOf(leaf)], /same leaf/],
    ['a CA certificate as leaf', [[webIntermediate.der, webRoot.der]], /certificate 0/],
    ['a certificate that is none', [[Uint8Array.of(0x30, 0)]], /cannot be read/],
    [
      'a signature by another key',
      [[webLeaf({ issuer: { ...webRoot, subject: 'Web Intermediate' } }).der, webIntermediate.der]],
      /did not sign/,
    ],
  ];
  it.each(meanings)('by its certificates: %s', async (_, chains, detail) => {
    const { status, body } = await ask(encodeVoucherRequest({ ...good, chains }));
    expect(status).toBe(400);
    expect(results(body)).toMatchObject([{ reason: 'malformed', detail: saying(detail) }]);
    expect(questions).toEqual([]);
  });

  it('a good chain does not vouch for its certificates in another arrangement', async () => {
    expect((await ask(goodDer)).status).toBe(200);
    const apart = { ...good, chains: [[leaf.der], [webIntermediate.der]] };
    expect((await ask(encodeVoucherRequest(apart))).status).toBe(400);
    expect((await ask(goodDer)).status).toBe(200);
  });

  it('whatever the bytes are', async () => {
    const agent = new Agent({ keepAlive: true });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: goodDer.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (at, flip, asJson) => {
          const bytes = asJson ? Buffer.from(encodeVoucherRequestJson(good)) : Buffer.from(goodDer);
          bytes[at]! ^= flip;
          const { status } = await ask(bytes, { agent, ...(asJson && { headers: json }) });
          expect([200, 400, 403]).toContain(status);
        },
      ),
      { numRuns: 200 },
    );
    agent.destroy();
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('a request that is too much', () => {
  const megabyte = Buffer.alloc(1_048_576, 0x30);

  it.each([
    ['of declared length', megabyte],
    ['in chunks', Array<Buffer>(16).fill(megabyte.subarray(0, 65_536))],
  ])('of 1 MB, %s', async (_, body) => {
    const { status, json: read } = await call(server.url, { body });
    expect(status).toBe(413);
    expect(read()).toEqual(problem(413));
    expect(questions).toEqual([]);
  });

  it('may be followed by a good one on the same connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await call(server.url, { agent, body: megabyte })).status).toBe(413);
    expect((await call(server.url, { agent, body: goodDer })).status).toBe(200);
    agent.destroy();
  });

  it('without end is cut off', async () => {
    const socket = connect({ port: portOf(server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    let sent = 0;
    socket.on('error', () => undefined);
    socket.write(head('transfer-encoding: chunked'));
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const more = () => {
      while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
    };
    socket.on('drain', more);
    socket.resume();
    more();
    await closed;
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    expect(questions).toEqual([]);
  });

  it('that comes too slowly gets 408', () =>
    using({ requestWithinMs: 150 }, async (slow) => {
      const answer = await raw(slow, `${head('content-length: 100')}abc`);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain('application/problem+json');
      expect(slow.inFlight).toBe(0);
    }));

  it('with headers that come too slowly, too', () =>
    using({ requestWithinMs: 150 }, async (slow) => {
      expect(await raw(slow, 'POST /vrp HTTP/1.1\r\nhost: a\r\n')).toMatch(/^HTTP\/1\.1 408 /);
    }));

  it('that is cut off leaves nothing', async () => {
    const socket = connect({ port: portOf(server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(`${head('content-length: 100')}abc`);
    socket.destroy();
    await once(socket, 'close');
    expect((await ask(goodDer)).status).toBe(200);
    expect(questions).toHaveLength(1);
    expect(lines).toEqual([]);
  });
});

describe('what is not the VRP', () => {
  it.each(['text/plain', 'application/ocsp-request', 'application/json+x', ''])(
    'media type %j gets 415',
    async (type) => {
      const { status, headers, json: read } = await ask(goodDer, { headers: { 'content-type': type } });
      expect(status).toBe(415);
      expect(headers['accept']).toContain(mediaTypes.request);
      expect(read()).toEqual(problem(415));
    },
  );

  it.each([
    ['GET', '', 405, 'POST'],
    ['PUT', '', 405, 'POST'],
    ['DELETE', '', 405, 'POST'],
    ['POST', '/nonce', 405, 'GET'],
    ['POST', '/', 404, undefined],
    ['POST', '/../secret', 404, undefined],
    ['GET', 'x', 404, undefined],
  ])('%s …/vrp%s gets %i', async (method, path, expected, allow) => {
    const { status, headers, json: read } = await call(server.url + path, { method });
    expect([status, headers['allow']]).toEqual([expected, allow]);
    expect(read()).toEqual(problem(expected));
    expect(questions).toEqual([]);
  });
});

const forbidden = [
  '0.0.0.0',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:10.0.0.1',
  '::ffff:8.8.8.8',
  '::10.0.0.1',
  '64:ff9b::10.0.0.1',
  '64:ff9b:1::a00:1',
  '100::1',
  '2001::1',
  '2001:2::1',
  '2002:a00:1::1',
  '3fff::1',
  '5f00::1',
  '2606:4700::5efe:10.0.0.1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '4000::1',
];

const addressed = (written: string) => {
  const octets = parseAddress(written);
  return octets.length === 4 ? { ipv4: octets } : { ipv6: octets };
};

describe('a forbidden target leaves nothing behind', () => {
  it.each(forbidden)('%s', async (written) => {
    const { ipv4: _, ...rest } = good;
    const request = { ...rest, ...addressed(written) };
    const der = await ask(encodeVoucherRequest(request));
    expect(der.status).toBe(403);
    expect(results(der.body)).toMatchObject([{ status: 'refused', reason: 'forbidden-target' }]);
    const asJson = await askJson(jsonOf(request));
    expect([asJson.status, asJson.json()]).toEqual([403, problem(403, 'forbidden-target')]);
    expect(questions).toEqual([]);
  });

  it('also beside a good one', async () => {
    const both = { ...good, ipv6: parseAddress('::ffff:127.0.0.1') };
    expect((await ask(encodeVoucherRequest(both))).status).toBe(403);
    expect(questions).toEqual([]);
  });
});

const nonceOf = async () => (await call(`${server.url}/nonce`, { method: 'GET' })).body;
const proven = (nonce: Uint8Array, { chains = good.chains, key = leaf.privateKey, chain = 0 } = {}) => {
  const request = { ...good, chains, nonce };
  const proof = signKeyProof(encodeTbsVoucherRequest(request), chain, key);
  return { ...request, proofs: [proof] };
};

describe('proof of the key', () => {
  it('by a signature over a nonce', async () => {
    const { status } = await ask(encodeVoucherRequest(proven(await nonceOf())));
    expect([status, questions[0]?.authenticated]).toEqual([200, true]);
  });

  it('holds for JSON as well, and for its own chain only', async () => {
    const chains = [chainOf(webLeaf()), chainOf(leaf)];
    const { status } = await askJson(jsonOf(proven(await nonceOf(), { chains, chain: 1 })));
    expect([status, questions.map((one) => one.authenticated)]).toEqual([200, [false, true]]);
  });

  it('nonces come in JSON, too', async () => {
    const { json: read } = await call(`${server.url}/nonce`, {
      method: 'GET',
      headers: { accept: mediaTypes.json },
    });
    const nonce = Buffer.from(String(read()['nonce']), 'base64');
    expect((await ask(encodeVoucherRequest(proven(nonce)))).status).toBe(200);
  });

  const wrong: readonly (readonly [string, () => VoucherRequest])[] = [
    ['a nonce that is too old', () => proven(nonces.issue(Date.now() - 300_001, randomBytes))],
    ['a nonce of somebody else', () => proven(new Nonces(randomBytes(32)).issue(Date.now(), randomBytes))],
    [
      'no nonce',
      () => {
        const { nonce: _, ...rest } = good;
        return { ...rest, proofs: [signKeyProof(encodeTbsVoucherRequest(rest), 0, leaf.privateKey)] };
      },
    ],
    ['another request', () => ({ ...proven(nonces.issue(Date.now(), randomBytes)), port: 8443 })],
    ['another key', () => proven(nonces.issue(Date.now(), randomBytes), { key: webLeaf().privateKey })],
  ];
  it.each(wrong)('with %s is refused and leaves nothing', async (_, request) => {
    const { status, body } = await ask(encodeVoucherRequest(request()));
    expect(status).toBe(403);
    expect(results(body)).toMatchObject([{ reason: 'unauthenticated', detail: saying(/key proof/) }]);
    expect((await askJson(jsonOf(request()))).json()).toEqual(problem(403, 'unauthenticated'));
    expect(questions).toEqual([]);
  });

  it('by TLS client authentication with the server certificate', async () => {
    await ask(goodDer, { cert: pemOf(leaf), key: keyPemOf(leaf) });
    expect(questions[0]?.authenticated).toBe(true);
  });

  it('is not given by TLS client authentication with another certificate', async () => {
    const other = webLeaf();
    expect((await ask(goodDer, { cert: pemOf(other), key: keyPemOf(other) })).status).toBe(200);
    expect(questions[0]?.authenticated).toBe(false);
  });

  it('may be demanded', () =>
    using({ requireKeyProof: true }, async ({ url }) => {
      const without = await call(url, { body: goodDer });
      expect(without.status).toBe(403);
      expect(results(without.body)).toMatchObject([
        { leaf: createHash('sha256').update(leaf.der).digest(), reason: 'unauthenticated' },
      ]);
      expect(questions).toEqual([]);
      const body = encodeVoucherRequest(proven(nonces.issue(Date.now(), randomBytes)));
      expect((await call(url, { body })).status).toBe(200);
    }));
});

const statuses = async (url: string, ...requests: VoucherRequest[]) => {
  const found: number[] = [];
  for (const request of requests)
    found.push((await call(url, { body: encodeVoucherRequest(request) })).status);
  return found;
};
const numbered = (last: number) => ({ ...good, ipv4: Uint8Array.of(198, 51, 100, last) });

describe('limits', () => {
  const once60 = { perMinute: 1, burst: 1 };
  let now = 1_000_000;
  const limited = (limits: Settings['limits'], act: (url: string) => Promise<void>) =>
    using({ limits: limits!, now: () => now }, ({ url }) => act(url));
  it('on a requester without proof', () =>
    limited({ unauthenticated: { perMinute: 2, burst: 1 } }, async (url) => {
      expect(await statuses(url, numbered(1), numbered(2))).toEqual([200, 429]);
      const { status, headers, body } = await call(url, { body: encodeVoucherRequest(numbered(3)) });
      expect([status, headers['retry-after']]).toEqual([429, '30']);
      expect(results(body)).toMatchObject([
        { reason: 'rate-limited', retryAfter: 30, detail: 'too many requests for this requester' },
      ]);
      now += 30_000;
      expect(await statuses(url, numbered(4))).toEqual([200]);
      expect(questions).toHaveLength(2);
    }));

  it('on a requester with proof, counted apart', () =>
    limited({ unauthenticated: once60, authenticated: { perMinute: 60, burst: 2 } }, async (url) => {
      const proof = { cert: pemOf(leaf), key: keyPemOf(leaf), body: goodDer };
      expect((await call(url, proof)).status).toBe(200);
      expect((await call(url, proof)).status).toBe(200);
      const third = await call(url, proof);
      expect([third.status, third.headers['retry-after']]).toEqual([429, '1']);
    }));

  it('on senders of nonsense', () =>
    limited({ authenticated: { perMinute: 60, burst: 2 } }, async (url) => {
      const bad = { ...good, chains: [[leaf.der, webRoot.der]] };
      expect(await statuses(url, bad, bad, bad, good)).toEqual([400, 400, 429, 429]);
    }));

  it('on a target, an IPv6 /64 being one', () =>
    limited({ target: once60 }, async (url) => {
      const { ipv4: _, ...rest } = good;
      const v6 = (text: string) => ({ ...rest, ipv6: parseAddress(text) });
      expect(await statuses(url, numbered(1), numbered(1), numbered(2))).toEqual([200, 429, 200]);
      expect(
        await statuses(url, v6('2001:db8:0:1::1'), v6('2001:db8:0:1:2::2'), v6('2001:db8:0:2::1')),
      ).toEqual([200, 429, 200]);
    }));

  it('on a target are not used up by strangers', () =>
    limited({ target: once60 }, async (url) => {
      expect(await statuses(url, numbered(1), numbered(1))).toEqual([200, 429]);
      const own = { cert: pemOf(leaf), key: keyPemOf(leaf), body: encodeVoucherRequest(numbered(1)) };
      expect((await call(url, own)).status).toBe(200);
    }));

  it('on one requester cost the target and everyone nothing', () =>
    limited(
      { unauthenticated: once60, target: { perMinute: 1, burst: 2 }, global: { perMinute: 1, burst: 2 } },
      async (url) => {
        expect(await statuses(url, numbered(1), numbered(1), numbered(1))).toEqual([200, 429, 429]);
        now += 60_000;
        expect(await statuses(url, numbered(1))).toEqual([200]);
      },
    ));

  it('on everyone together', () =>
    limited({ global: once60 }, async (url) => {
      expect(await statuses(url, numbered(1))).toEqual([200]);
      const { status, body } = await call(url, { body: encodeVoucherRequest(numbered(2)) });
      expect([status, results(body)[0]?.detail]).toEqual([
        429,
        'too many requests for all requesters together',
      ]);
    }));

  it('are counted by chain', () =>
    limited({ unauthenticated: { perMinute: 1, burst: 3 } }, async (url) => {
      const chains = [leaf, webLeaf(), webLeaf(), webLeaf()].map(chainOf);
      const { status, body } = await call(url, { body: encodeVoucherRequest({ ...good, chains }) });
      expect(status).toBe(200);
      expect(results(body).map((one) => one.status)).toEqual(['issued', 'issued', 'issued', 'refused']);
      expect(questions).toHaveLength(3);
    }));

  it('on requests in progress: 503, and slow senders do not count', () =>
    using({ limits: { inFlight: 1 }, requestWithinMs: 5_000 }, async (one) => {
      const slow = connect({ port: portOf(one), rejectUnauthorized: false });
      await once(slow, 'secureConnect');
      slow.write(`${head('content-length: 100')}abc`);
      const begun = Promise.withResolvers<void>();
      const end = Promise.withResolvers<Decided>();
      decide = () => {
        begun.resolve();
        return end.promise;
      };
      const first = call(one.url, { body: goodDer });
      await begun.promise;
      expect(one.inFlight).toBe(1);
      const second = await call(one.url, { body: goodDer });
      expect([second.status, second.headers['retry-after'], second.json()]).toEqual([503, '1', problem(503)]);
      end.resolve(decided(issued));
      expect((await first).status).toBe(200);
      expect(one.inFlight).toBe(0);
      expect(questions).toHaveLength(1);
      slow.destroy();
    }));
});

describe('answers', () => {
  it.each([
    ['no part', true, 503],
    ['one part', false, 200],
  ])('when %s is away', async (_, all, expected) => {
    decide = ({ subject }) =>
      all || Buffer.compare(subject.chain[0]!, leaf.der) === 0
        ? Promise.reject(new CoordinatorError('signer-unavailable', 'the signer cannot be reached'))
        : Promise.resolve(decided(issued));
    const chains = [chainOf(leaf), chainOf(webLeaf())];
    const { status, headers, body } = await ask(encodeVoucherRequest({ ...good, chains }));
    expect([status, headers['retry-after']]).toEqual([expected, all ? '10' : undefined]);
    expect(results(body)[0]).toMatchObject({
      status: 'inconclusive',
      detail: 'the signer cannot be reached',
      retryAfter: 10,
      leaf: createHash('sha256').update(leaf.der).digest(),
    });
  });

  it('tell nothing of what broke inside', async () => {
    decide = () => Promise.reject(new Error('secret'));
    const { status, body } = await ask(goodDer);
    expect([status, results(body)[0]?.detail]).toEqual([503, 'internal error']);
    expect(lines).toMatchObject([{ level: 'error', message: 'no decision' }]);
  });

  it.each([
    'x'.repeat(5_000),
    'ü'.repeat(2_000),
    `${'x'.repeat(1_019)}\u{1f4a9}\u{1f4a9}`,
    'half \ud83d',
    '',
  ])('say no more than the grammar takes', async (detail) => {
    decide = () =>
      Promise.resolve(decided({ status: 'refused', reason: 'untrusted', detail, perspectives: [] }));
    for (const rest of [{}, { headers: json }]) {
      const body = 'headers' in rest ? encodeVoucherRequestJson(good) : goodDer;
      const reply = await ask(body, rest);
      expect(reply.status).toBe(200);
      expect(reply.body.length).toBeLessThan(1_200);
    }
  });

  it('nobody waits for any more are no trouble', async () => {
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<Decided>();
    decide = () => {
      begun.resolve();
      return end.promise;
    };
    const socket = connect({ port: portOf(server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(head(`content-length: ${goodDer.length}`));
    socket.write(goodDer);
    await begun.promise;
    socket.destroy();
    await once(socket, 'close');
    end.resolve(decided(issued));
    expect((await ask(goodDer)).status).toBe(200);
    expect(server.inFlight).toBe(0);
    expect(lines).toEqual([]);
  });
});

describe('closing', () => {
  it('waits for what is being decided, and takes nothing new', async () => {
    const one = await start();
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<Decided>();
    decide = () => {
      begun.resolve();
      return end.promise;
    };
    const agent = new Agent({ keepAlive: true });
    const first = call(one.url, { body: goodDer, agent });
    await begun.promise;
    const closed = one.close(10_000);
    await expect(call(one.url, { body: goodDer })).rejects.toThrow('ECONNREFUSED');
    end.resolve(decided(issued));
    expect((await first).status).toBe(200);
    await closed;
    agent.destroy();
  });

  it('does not wait for idle connections, nor for long for slow ones', async () => {
    const one = await start();
    const idle = new Agent({ keepAlive: true });
    await call(one.url, { body: goodDer, agent: idle });
    const slow = connect({ port: portOf(one), rejectUnauthorized: false });
    slow.on('error', () => undefined);
    await once(slow, 'secureConnect');
    slow.write(`${head('content-length: 100')}abc`);
    await one.close(100);
    idle.destroy();
  });
});

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
const portOf = ({ url }: VrpServer) => Number(new URL(url).port);
const head = (length: string) =>
  `POST /vrp HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${mediaTypes.request}\r\n${length}\r\n\r\n`;

/** Everything that comes back until the server closes. */
async function raw(to: VrpServer, text: string): Promise<string> {
  const socket = connect({ port: portOf(to), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
  return answer;
}
