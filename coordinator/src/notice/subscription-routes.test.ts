import { randomBytes } from 'node:crypto';
import { testDatabases } from '@mecai/database/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dnsClient } from '../dns/dns-client.ts';
import { CoordinatorError } from '../error.ts';
import type { VrpServer } from '../http-server.ts';
import { type TestDns, startDns } from '../../../test/src/parts/dns-server.ts';
import { call } from '../testing/https.ts';
import { startRoutes } from '../testing/routes.ts';
import { emptyTables } from '../testing/tables.ts';
import { newId } from './open.ts';
import { noticeMigrations } from './schema.ts';
import { subscriptionRoutes } from './subscription-routes.ts';
import { Subscriptions } from './subscriptions.ts';

const tables = emptyTables(testDatabases('sqlite'), 'notice', noticeMigrations, ['subscription']);
let dns: TestDns;
let server: VrpServer;
let subscriptions: Subscriptions | undefined;
let records: Record<string, string>;

beforeAll(async () => {
  dns = await startDns(() => 'nxdomain');
  server = await startRoutes(
    subscriptionRoutes(() => {
      if (subscriptions) return subscriptions;
      throw new CoordinatorError('database-unavailable', 'away');
    }),
  );
});
afterAll(async () => {
  await server?.close(0);
  await dns?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  records = {};
  dns.zone = ({ type, name }) =>
    type === 'TXT' && records[name] !== undefined ? [{ type, name, data: records[name] }] : 'nxdomain';
  subscriptions = new Subscriptions({
    database: tables.database,
    dns: dnsClient({ resolvers: [dns.address], timeoutMs: 1_000 }),
    secret: randomBytes(32),
    now: Date.now,
    newId,
  });
});

const at = (path: string) => new URL(path, server.url).href;
async function post(path: string, value: unknown) {
  const headers = { 'content-type': 'application/json' };
  const reply = await call(at(path), { body: JSON.stringify(value), headers });
  return { status: reply.status, value: reply.json() };
}
const asked = { domain: 'Example.ORG.', recipient: 'mailto:Security@example.org' };
async function subscribe() {
  const { value } = await post('/subscriptions', asked);
  const { record, expires } = value as { record: { name: string; value: string }; expires: string };
  records[record.name] = record.value;
  return post('/subscriptions/confirm', { ...asked, expires });
}

describe('subscriptions over HTTPS', () => {
  it('are asked for, proven, listed and ended', async () => {
    const first = await post('/subscriptions', asked);
    expect(first).toMatchObject({
      status: 200,
      value: {
        domain: 'example.org',
        recipient: 'mailto:security@example.org',
        record: {
          name: '_mecai-notice.example.org',
          type: 'TXT',
          value: expect.stringMatching(/^mecai-notice=/),
        },
      },
    });
    const { expires } = first.value as { expires: string };
    expect((await post('/subscriptions/confirm', { ...asked, expires })).status).toBe(403);
    const confirmed = await subscribe();
    expect(confirmed).toMatchObject({ status: 201, value: { domain: 'example.org' } });
    const { token, id } = confirmed.value as { token: string; id: string };
    const list = await post('/subscriptions/list', { token });
    expect(list).toMatchObject({
      status: 200,
      value: { subscriptions: [{ id, recipient: 'mailto:security@example.org' }] },
    });
    expect((await post('/subscriptions/cancel', { token })).status).toBe(200);
    expect((await post('/subscriptions/list', { token })).status).toBe(403);
  });

  it('take a domain in any script', async () => {
    const { value } = await post('/subscriptions', { ...asked, domain: 'München.example' });
    expect(value['domain']).toBe('xn--mnchen-3ya.example');
  });

  it.each([
    { domain: 'org', recipient: asked.recipient },
    { domain: '*.example.org', recipient: asked.recipient },
    { domain: '192.0.2.1.', recipient: 'x' },
    { domain: 'example.org', recipient: 'security@example.org' },
    { domain: 'example.org', recipient: 'mailto:a@example.org,b@example.org' },
    { domain: 'example.org', recipient: 'http://example.org/' },
    { domain: 'example.org', recipient: 'https://127.0.0.1/' },
    { domain: 'example.org' },
    { ...asked, extra: 1 },
  ])('are refused for %j', async (value) => {
    expect((await post('/subscriptions', value)).status).toBe(400);
  });

  it('are not confirmed after their time', async () => {
    const expires = new Date(0).toISOString();
    expect((await post('/subscriptions/confirm', { ...asked, expires })).status).toBe(410);
  });

  it('wait for DNS and for the database', async () => {
    dns.zone = () => 'servfail';
    const expires = new Date(Date.now() + 1_000).toISOString();
    expect((await post('/subscriptions/confirm', { ...asked, expires })).status).toBe(503);
    subscriptions = undefined;
    expect((await post('/subscriptions', asked)).status).toBe(503);
  });
});

describe('the link in a mail', () => {
  it('ends the subscription by a POST, as mail programs send it, and by no GET', async () => {
    const { id } = (
      await tables.database.query<{ id: string }>(
        `insert into subscription (id, domain, recipient, confirmed_at)
         values ('${newId()}', 'example.org', 'mailto:a@example.org', 0) returning id`,
      )
    )[0]!;
    const link = await subscriptions!.unsubscribeToken('mailto:a@example.org', ['www.example.org']);
    expect(link).toContain(id);
    const left = async () => (await tables.database.query('select id from subscription')).length;
    const page = await call(at(`/unsubscribe/${link}`), { method: 'GET' });
    expect([page.status, await left()]).toEqual([200, 1]);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = 'List-Unsubscribe=One-Click';
    expect((await call(at('/unsubscribe/x.y'), { body, headers })).status).toBe(200);
    expect(await left()).toBe(1);
    expect((await call(at(`/unsubscribe/${link}`), { body, headers })).status).toBe(200);
    expect(await left()).toBe(0);
  });
});
