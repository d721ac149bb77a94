import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { DatabaseError } from '@mecai/database';
import { testCertificate } from '@mecai/voucher/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { CoordinatorError } from './error.ts';
import { html, pageReply } from './html.ts';
import { type Exchange, type Route, jsonReply, readJson, serveRoutes } from './http-routes.ts';
import { type VrpServer, startVrpServer } from './http-server.ts';
import { Nonces } from './nonces.ts';
import { RateLimiter } from './rate-limits.ts';
import { keyPemOf, pemOf } from './testing/chains.ts';
import { type Call, call, json } from './testing/https.ts';
import { keptLog } from './testing/log.ts';
import { measures, telemetry } from './testing/telemetry.ts';

const { log } = keptLog();
let server: VrpServer;
let seen: Exchange | undefined;
const greeting = z.strictObject({ greeting: z.string() });
const failing: Record<string, Error> = {
  database: new DatabaseError('unavailable', 'away'),
  part: new CoordinatorError('signer-unavailable', 'away'),
  mistake: new TypeError('a mistake of ours'),
};
const routes: readonly Route[] = [
  {
    method: 'GET',
    path: '/things/:name',
    handle: (exchange) => jsonReply({ name: (seen = exchange).parameters['name'] }),
  },
  {
    method: 'POST',
    path: '/things/:name',
    maxOctets: 100,
    handle: ({ body }) => jsonReply(readJson(greeting, body), 201),
  },
  {
    method: 'POST',
    path: '/bytes',
    takes: 'application/octet-stream',
    handle: ({ body }) => jsonReply({ octets: body.length }),
  },
  {
    method: 'GET',
    path: '/page',
    handle: () => pageReply({ title: '<Tom & Jerry>', body: html`<p>${['"x"', html`<b>${1}</b>`]}</p>` }),
  },
  { method: 'GET', path: '/gone', handle: () => ({ status: 410, title: 'Gone', detail: 'it was here' }) },
  {
    method: 'GET',
    path: '/fails/:how',
    handle: ({ parameters }) => Promise.reject(failing[parameters['how']!]!),
  },
];

const start = (perMinute: number, bodyWithinMs = 10_000) => {
  const https = testCertificate({ subject: 'localhost', dnsNames: ['localhost'] });
  const limiter = new RateLimiter({ perMinute, burst: perMinute });
  return startVrpServer({
    host: '127.0.0.1',
    port: 0,
    tls: { certificate: Buffer.from(pemOf(https)), key: Buffer.from(keyPemOf(https)) },
    handler: { handle: () => Promise.reject(new Error('no test')) },
    nonces: new Nonces(randomBytes(32)),
    routes: serveRoutes({ routes, limiter, bodyWithinMs, log, now: () => 0 }),
    maxInFlight: () => 10,
    telemetry,
    measures,
    log,
    now: Date.now,
  });
};
const at = (path: string, options: Call = {}, on = server) =>
  call(new URL(path, on.url).href, { method: 'GET', ...options });

beforeAll(async () => void (server = await start(1_000_000)));
afterAll(() => server.close(0));

describe('a route', () => {
  it('gets what stands in the path and in the query, and who asks', async () => {
    const { status, json: body } = await at('/things/a-1?x=y%20z');
    expect([status, body()]).toEqual([200, { name: 'a-1' }]);
    expect([seen!.query.get('x'), seen!.requester.address]).toEqual(['y z', Uint8Array.of(127, 0, 0, 1)]);
  });

  it('answers a problem as RFC 9457 has it', async () => {
    const { status, headers, json: body } = await at('/gone');
    expect([status, headers['content-type']]).toEqual([410, 'application/problem+json']);
    expect(body()).toMatchObject({ type: 'about:blank', title: 'Gone', status: 410 });
  });

  it.each([
    ['no path of ours', '/thing', {}, 404],
    ['a parameter of other characters', '/things/a%2Fb', {}, 404],
    ['an empty parameter', '/things/', {}, 404],
    ['one segment too many', '/things/a/b', {}, 404],
    ['another method', '/page', { method: 'POST', headers: json, body: '{}' }, 405],
    [
      'another media type',
      '/things/a',
      { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '' },
      415,
    ],
    [
      'a compressed body',
      '/things/a',
      { method: 'POST', headers: { ...json, 'content-encoding': 'br' }, body: '{}' },
      415,
    ],
    ['a body too large', '/things/a', { method: 'POST', headers: json, body: ' '.repeat(101) }, 413],
    ['a body that is not JSON', '/things/a', { method: 'POST', headers: json, body: '{' }, 400],
    [
      'a body that is not UTF-8',
      '/things/a',
      { method: 'POST', headers: json, body: Uint8Array.of(34, 255, 34) },
      400,
    ],
    ['another member', '/things/a', { method: 'POST', headers: json, body: '{"greeting":"x","y":1}' }, 400],
    ['a database that is away', '/fails/database', {}, 503],
    ['a part that is away', '/fails/part', {}, 503],
    ['a mistake of ours', '/fails/mistake', {}, 500],
  ] satisfies [string, string, Call, number][])(
    'with %s is answered with a problem',
    async (_, path, options, status) => {
      const reply = await at(path, options);
      expect([reply.status, reply.headers['content-type']]).toEqual([status, 'application/problem+json']);
      expect(reply.json()).toMatchObject({ status });
    },
  );

  it('names the methods that there are', async () => {
    const { headers } = await at('/things/a', { method: 'PUT' });
    expect(headers['allow']).toBe('GET, POST');
  });

  it('takes the media type it says', async () => {
    const headers = { 'content-type': 'application/octet-stream' };
    const { json: body } = await at('/bytes', { method: 'POST', headers, body: Uint8Array.of(1, 2) });
    expect(body()).toEqual({ octets: 2 });
  });

  it('stops a requester that asks too often', async () => {
    const limited = await start(2);
    try {
      const statuses = [];
      for (let i = 0; i < 3; i++) statuses.push((await at('/gone', {}, limited)).status);
      expect(statuses).toEqual([410, 410, 429]);
    } finally {
      await limited.close(0);
    }
  });

  it('waits for a body only so long', async () => {
    const slow = await start(10, 50);
    const socket = connect({
      host: '127.0.0.1',
      port: Number(new URL(slow.url).port),
      rejectUnauthorized: false,
    });
    try {
      socket.write(
        'POST /things/a HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{',
      );
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(/^HTTP\/1\.1 408 /);
    } finally {
      socket.destroy();
      await slow.close(0);
    }
  });
});

describe('a page', () => {
  it('shows text from outside as text', async () => {
    const { headers, body } = await at('/page');
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(body.toString()).toContain('<h1>&#60;Tom &#38; Jerry&#62;</h1><p>&#34;x&#34;<b>1</b></p>');
  });

  it('lets nothing run that is not its own', async () => {
    const { headers } = await at('/page');
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
  });
});
