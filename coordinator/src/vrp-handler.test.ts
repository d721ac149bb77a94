import { createHash, randomBytes } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import { Telemetry, telemetryConfig } from '@mecai/runtime';
import {
  type VoucherRequest,
  encodeTbsVoucherRequest,
  encodeVoucherRequest,
  mediaTypes,
  signKeyProof,
} from '@mecai/voucher';
import { describe, expect, it } from 'vitest';
import { Nonces } from './nonces.ts';
import { chainOf, keyPemOf, pemOf, webLeaf, webRoot } from './testing/chains.ts';
import { call } from './testing/https.ts';
import { telemetry } from './testing/telemetry.ts';
import {
  type Settings,
  ask,
  askJson,
  good,
  goodDer,
  jsonOf,
  leaf,
  nonces,
  problem,
  results,
  saying,
  setScene,
  using,
} from './testing/vrp.ts';

const scene = setScene();

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
    expect(scene.questions).toEqual([]);
  });

  it('also beside a good one', async () => {
    const both = { ...good, ipv6: parseAddress('::ffff:127.0.0.1') };
    expect((await ask(encodeVoucherRequest(both))).status).toBe(403);
    expect(scene.questions).toEqual([]);
  });
});

const nonceOf = async () => (await call(`${scene.server.url}/nonce`, { method: 'GET' })).body;
const proven = (nonce: Uint8Array, { chains = good.chains, key = leaf.privateKey, chain = 0 } = {}) => {
  const request = { ...good, chains, nonce };
  const proof = signKeyProof(encodeTbsVoucherRequest(request), chain, key);
  return { ...request, proofs: [proof] };
};

describe('proof of the key', () => {
  it('by a signature over a nonce', async () => {
    const { status } = await ask(encodeVoucherRequest(proven(await nonceOf())));
    expect([status, scene.questions[0]?.authenticated]).toEqual([200, true]);
  });

  it('holds for JSON as well, and for its own chain only', async () => {
    const chains = [chainOf(webLeaf()), chainOf(leaf)];
    const { status } = await askJson(jsonOf(proven(await nonceOf(), { chains, chain: 1 })));
    expect([status, scene.questions.map((one) => one.authenticated)]).toEqual([200, [false, true]]);
  });

  it('nonces come in JSON, too', async () => {
    const { json: read } = await call(`${scene.server.url}/nonce`, {
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
    expect(scene.questions).toEqual([]);
  });

  it('by TLS client authentication with the server certificate', async () => {
    await ask(goodDer, { cert: pemOf(leaf), key: keyPemOf(leaf) });
    expect(scene.questions[0]?.authenticated).toBe(true);
  });

  it('is not given by TLS client authentication with another certificate', async () => {
    const other = webLeaf();
    expect((await ask(goodDer, { cert: pemOf(other), key: keyPemOf(other) })).status).toBe(200);
    expect(scene.questions[0]?.authenticated).toBe(false);
  });

  it('may be demanded', () =>
    using({ requireKeyProof: true }, async ({ url }) => {
      const without = await call(url, { body: goodDer });
      expect(without.status).toBe(403);
      expect(results(without.body)).toMatchObject([
        { leaf: createHash('sha256').update(leaf.der).digest(), reason: 'unauthenticated' },
      ]);
      expect(scene.questions).toEqual([]);
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
      expect(scene.questions).toHaveLength(2);
    }));

  it('keep a flood that wants to be traced out of the log', async () => {
    const collector = 'http://127.0.0.1:1';
    const traces = new Telemetry('coordinator', 'test', telemetryConfig().parse({ collector }));
    await using(
      { limits: { unauthenticated: once60 }, now: () => now, telemetry: traces },
      async ({ url }) => {
        const headers = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };
        const answers = [1, 2, 3].map((last) =>
          call(url, { body: encodeVoucherRequest(numbered(last)), headers }),
        );
        expect((await Promise.all(answers)).map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
          200, 429, 429,
        ]);
      },
    );
    expect(scene.lines).toMatchObject([{ message: 'decided' }]);
    await traces.stop();
  });

  it('on a requester with proof, counted apart', () =>
    limited({ unauthenticated: once60, authenticated: { perMinute: 60, burst: 2 } }, async (url) => {
      const proof = { cert: pemOf(leaf), key: keyPemOf(leaf), body: goodDer };
      expect((await call(url, proof)).status).toBe(200);
      expect((await call(url, proof)).status).toBe(200);
      const third = await call(url, proof);
      expect([third.status, third.headers['retry-after']]).toEqual([429, '1']);
    }));

  it('are told apart in the metrics, and nothing else is', () =>
    limited({ target: once60, global: { perMinute: 1, burst: 2 } }, async (url) => {
      const counted = async () => {
        const lines =
          (await telemetry.metrics()).match(/^mecai_vrp_limited_total\{limit="\w+"\} \d+/gm) ?? [];
        return Object.fromEntries(lines.map((line) => /"(\w+)"\} (\d+)/.exec(line)!.slice(1)));
      };
      const before = await counted();
      expect(await statuses(url, numbered(1), numbered(1), numbered(2), numbered(3))).toEqual([
        200, 429, 200, 429,
      ]);
      const after = await counted();
      const more = (limit: string) => Number(after[limit] ?? 0) - Number(before[limit] ?? 0);
      expect([more('requester'), more('target'), more('global')]).toEqual([0, 1, 1]);
      await using({ limits: { unauthenticated: once60 }, now: () => now }, async (other) => {
        expect(await statuses(other.url, numbered(1), numbered(2))).toEqual([200, 429]);
      });
      expect(Number((await counted())['requester']) - Number(before['requester'] ?? 0)).toBe(1);
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
      expect(scene.questions).toHaveLength(3);
    }));
});
