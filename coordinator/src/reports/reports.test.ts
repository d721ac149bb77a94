import { ClientReport } from '@mecai/proto';
import { parsePrefix } from '@mecai/addresses';
import { testCertificate } from '@mecai/voucher/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoordinatorError } from '../error.ts';
import type { Exchange } from '../http-routes.ts';
import { RateLimiter } from '../rate-limits.ts';
import { Reports } from './reports.ts';

const leaf = testCertificate({ subject: 'forged', dnsNames: ['www.example.org'] });
const check = {
  address: '93.184.215.14',
  port: 443,
  serverName: 'www.example.org',
  chain: [Buffer.from(leaf.der).toString('base64')],
  seenAt: '2026-11-22T12:00:59Z',
  codes: ['other-leaf', 'va-not-chosen', 'other-leaf'],
  vas: ['va-1', 'va-2'],
  mode: 'enforce',
  vouchers: [Buffer.from('voucher').toString('base64')],
};
const hour = 3_600_000;

function world(limit = 1_000) {
  const published: ClientReport[] = [];
  const state = { now: Date.UTC(2026, 10, 22, 12), away: false };
  const reports = new Reports({
    coordinator: 'va1',
    // As it travels.
    publish: (report) => {
      if (!state.away) published.push(ClientReport.decode(ClientReport.encode(report).finish()));
      return !state.away;
    },
    limiter: new RateLimiter({ perMinute: 1, burst: limit }),
    allowedTargets: [parsePrefix('127.0.0.0/8')],
    now: () => state.now,
  });
  const post = async (path: string, json: unknown) => {
    const route = reports.routes.find((one) => one.path === path)!;
    const body = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
    return (await route.handle({ body } as Partial<Exchange> as Exchange)).status;
  };
  const times = () =>
    published.map(({ content }) => (content?.$case === 'failedCheck' ? content.failedCheck.times : 0));
  return { reports, published, post, state, times };
}

describe('a failed check', () => {
  it('is stored as it was told, the time to the minute, and nothing of who told it', async () => {
    const { post, published } = world();
    expect(await post('/vrp/reports', check)).toBe(202);
    const [report] = published;
    expect(report).toEqual({
      coordinator: 'va1',
      receivedAt: Date.UTC(2026, 10, 22, 12),
      content: {
        $case: 'failedCheck',
        failedCheck: {
          id: expect.any(Uint8Array) as Uint8Array,
          times: 1,
          target: {
            address: Uint8Array.of(93, 184, 215, 14),
            port: 443,
            serverName: 'www.example.org',
            startTls: '',
            keyType: 0,
          },
          chain: [Uint8Array.from(leaf.der)],
          seenAt: Date.UTC(2026, 10, 22, 12),
          codes: ['other-leaf', 'va-not-chosen'],
          vas: ['va-1', 'va-2'],
          mode: 'enforce',
          vouchers: [new TextEncoder().encode('voucher')],
        },
      },
    });
  });

  it('that comes again is stored again at twice, four times, eight times; the next day anew', async () => {
    const { post, state, times, reports } = world();
    for (let i = 0; i < 9; i++) expect(await post('/vrp/reports', check)).toBe(202);
    expect(times()).toEqual([1, 2, 4, 8]);
    expect(reports.counts).toEqual({ repeated: 5, refused: 0 });
    state.now += 24 * hour;
    await post('/vrp/reports', check);
    expect(times()).toEqual([1, 2, 4, 8, 1]);
  });

  it('is another one with anything changed but the time', async () => {
    const { post, times } = world();
    const others = [
      { ...check, seenAt: '2026-11-22T13:00:00Z' },
      { ...check, address: '93.184.215.15' },
      { ...check, port: 444 },
      { ...check, serverName: undefined },
      { ...check, startTls: 'smtp' },
      { ...check, codes: ['other-leaf'] },
      { ...check, vas: ['va-1'] },
      { ...check, vas: ['va-1va-2'] },
      { ...check, mode: 'warn' },
      { ...check, vouchers: [] },
      { ...check, chain: [...check.chain, ...check.chain] },
    ];
    await post('/vrp/reports', check);
    for (const other of others) expect(await post('/vrp/reports', other)).toBe(202);
    expect(times()).toEqual([1, 2, ...others.slice(1).map(() => 1)]);
  });

  it.each<[string, object]>([
    ['a private address', { address: '192.168.1.1' }],
    ['no address', { address: 'www.example.org' }],
    ['no certificate', { chain: ['AAAA'] }],
    ['an empty chain', { chain: [] }],
    ['a port of none', { port: 0 }],
    ['a code with more than a code', { codes: ['<script>'] }],
    ['no codes', { codes: [] }],
    ['mode off', { mode: 'off' }],
    ['members of its own', { reporter: 'me' }],
    ['a name that is none', { serverName: 'WWW' }],
    ['no time', { seenAt: 'yesterday' }],
  ])('with %s is refused', async (_, change) => {
    const { post, published } = world();
    await expect(post('/vrp/reports', { ...check, ...change })).rejects.toThrow(CoordinatorError);
    expect(published).toEqual([]);
  });

  it('of a test network is taken where the operator allows it', async () => {
    expect(await world().post('/vrp/reports', { ...check, address: '127.0.0.1' })).toBe(202);
  });
});

describe('statistics', () => {
  const sums = {
    day: '2026-11-22',
    counts: [
      { code: 'accepted', checks: 12 },
      { code: 'no-voucher', checks: 1 },
    ],
  };

  it('are sums of a day, without any server', async () => {
    const { post, published } = world();
    expect(await post('/vrp/statistics', sums)).toBe(202);
    expect(published[0]!.content).toEqual({
      $case: 'statistics',
      statistics: { day: Date.UTC(2026, 10, 22), counts: sums.counts },
    });
  });

  it.each<[string, object]>([
    ['of a day to come', { day: '2026-11-24' }],
    ['of no day', { day: '2026-02-30' }],
    ['with an address', { address: '192.0.2.1' }],
    ['of nothing', { counts: [] }],
    ['below one', { counts: [{ code: 'accepted', checks: 0 }] }],
  ])('%s are refused', async (_, change) => {
    await expect(world().post('/vrp/statistics', { ...sums, ...change })).rejects.toThrow(CoordinatorError);
  });
});

it('all reports together are limited, and refused while nobody stores them', async () => {
  const { post, reports, state } = world(2);
  expect(await post('/vrp/reports', check)).toBe(202);
  state.away = true;
  expect(await post('/vrp/reports', { ...check, port: 1 })).toBe(503);
  expect(await post('/vrp/reports', check)).toBe(429);
  expect(reports.counts.refused).toBe(1);
});

it('whatever is sent is a report or a bad request', async () => {
  const { post } = world(10_000);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.json({ maxDepth: 3 }),
        fc.string(),
        fc
          .record({ address: fc.ipV4(), port: fc.nat(), chain: fc.array(fc.base64String()) })
          .map((one) => JSON.stringify({ ...check, ...one })),
      ),
      async (body) => {
        for (const path of ['/vrp/reports', '/vrp/statistics']) {
          await post(path, body).catch((error: unknown) => expect(error).toBeInstanceOf(CoordinatorError));
        }
      },
    ),
    { numRuns: 500 },
  );
});
