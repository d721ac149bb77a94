import { createServer } from 'node:https';
import { testCertificate } from '@mecai/voucher/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerCode } from './checker.ts';
import { ClientError } from './error.ts';
import type { Outcome } from './guard/guard.ts';
import { reportOf, Statistics, submitReport, submitStatistics } from './report.ts';
import { vaAgent } from './request.ts';
import { pem, portOf } from './test-va-server.ts';
import { listedVa, listOf, now } from './testing/world.ts';

const va = listedVa(1);
const list = listOf([va]);
const outcome = (codes: readonly ServerCode[], fields: Partial<Outcome> = {}): Outcome => ({
  host: 'www.example.org',
  mode: 'enforce',
  verdict: codes.length > 0 ? 'reject' : 'accept',
  handshake: { chain: [Uint8Array.of(1, 2)], address: '192.0.2.1', port: 443 },
  choice: { list, vas: list.vas, accept: 1, perspectives: [] },
  check: {
    failures: codes.map((code) => ({ code, message: 'for people' })),
    vouchers: [{ route: 'ocsp', voucher: Uint8Array.of(3), failures: [] }],
    status: 'unknown',
  },
  routes: ['ocsp'],
  ...fields,
});

test('a report of a failed check says what the server was and what failed, and nothing of the client', () => {
  expect(reportOf(outcome(['other-leaf', 'no-voucher', 'other-leaf']), now)).toEqual({
    address: '192.0.2.1',
    port: 443,
    serverName: 'www.example.org',
    chain: ['AQI='],
    seenAt: '2026-11-22T13:00:00Z',
    codes: ['no-voucher', 'other-leaf'],
    vas: ['va-1'],
    mode: 'enforce',
    vouchers: ['Aw=='],
  });
  expect(reportOf(outcome(['no-voucher'], { host: '192.0.2.1' }), now)).not.toHaveProperty('serverName');
});

test('there is none of what was accepted, of an intranet, or of what was not checked', () => {
  expect(reportOf(outcome([]), now)).toBeUndefined();
  const { choice: _choice, ...unchosen } = outcome(['not-pinned-ca'], { intranet: 'corp.example' });
  expect(reportOf(unchosen, now)).toBeUndefined();
  expect(reportOf(outcome(['no-voucher'], { mode: 'off' }), now)).toBeUndefined();
});

test('statistics count checks by code, day by day, and no intranet', () => {
  const statistics = new Statistics();
  const later = new Date(now.getTime() + 86_400_000);
  expect(statistics.take()).toBeUndefined();
  expect(statistics.count(outcome([]), now)).toBeUndefined();
  statistics.count(outcome([]), now);
  statistics.count(outcome(['no-voucher', 'certificate-status-unknown', 'no-voucher']), now);
  statistics.count(outcome(['not-pinned-ca'], { intranet: 'corp.example' }), now);
  expect(statistics.count(outcome([]), later)).toEqual({
    day: '2026-11-22',
    counts: [
      { code: 'accepted', checks: 2 },
      { code: 'no-voucher', checks: 1 },
      { code: 'certificate-status-unknown', checks: 1 },
    ],
  });
  expect(statistics.take()).toEqual({ day: '2026-11-23', counts: [{ code: 'accepted', checks: 1 }] });
});

describe('submitting', () => {
  const tls = testCertificate({ subject: 'VA server', dnsNames: ['localhost'] });
  const seen: { path: string; body: unknown }[] = [];
  let status = 202;
  const server = createServer(
    { cert: pem(tls.der), key: tls.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    (request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        seen.push({ path: request.url!, body: JSON.parse(body) as unknown });
        response.writeHead(status).end();
      });
    },
  );
  const agent = vaAgent({ ca: pem(tls.der) });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, 'localhost', resolve)));
  afterAll(() => {
    agent.destroy();
    server.close();
  });

  test('goes beside the VRP, each kind to its own place', async () => {
    const vrp = `https://localhost:${portOf(server)}/some/vrp`;
    const report = reportOf(outcome(['no-voucher']), now)!;
    const sums = { day: '2026-11-22', counts: [{ code: 'accepted', checks: 2 }] } as const;
    await submitReport(vrp, report, { agent });
    await submitStatistics(vrp, sums, { agent });
    expect(seen).toEqual([
      { path: '/some/vrp/reports', body: report },
      { path: '/some/vrp/statistics', body: sums },
    ]);
    status = 429;
    await expect(submitReport(vrp, report, { agent })).rejects.toThrow(ClientError);
    await expect(submitReport('http://localhost/vrp', report, { agent })).rejects.toMatchObject({
      code: 'bad-url',
    });
  });
});
