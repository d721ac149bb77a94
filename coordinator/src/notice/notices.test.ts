import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePrefix } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import { testDatabases } from '@mecai/database/testing';
import type { Answer, Question } from 'dns-packet';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Postfix, startPostfix } from '../../../test/src/parts/postfix.ts';
import { dnsClient } from '../dns/dns-client.ts';
import { type DnsReply, type TestDns, startDns } from '../../../test/src/parts/dns-server.ts';
import { type HttpHandler, type TestHttp, startHttp } from '../testing/http-server.ts';
import { identityPem } from '../testing/identity.ts';
import { type LogLine, keptLog } from '../testing/log.ts';
import { testNotice } from '../testing/notice.ts';
import { statementVerifiedByOpenssl, verifiedByOpenssl } from '../testing/openssl-mail.ts';
import { emptyTables } from '../testing/tables.ts';
import { readBounce } from './bounce.ts';
import { noticeConfig } from './config.ts';
import { enqueueLetter } from './letter.ts';
import { enqueueNotice, noticeId } from './notice.ts';
import { type OpenNotices, newId, openNotices, readNoticeSecrets } from './open.ts';
import { bounceDelivery, deliveriesAbout, listDeliveries } from './outbox.ts';
import { noticeMigrations } from './schema.ts';

// Postfix, DNS, RDAP, webhooks: all real, all on loopback.

const from = 'notices@va.test';
const publicUrl = 'https://va.test';
const directory = mkdtempSync(join(tmpdir(), 'mecai-notices-'));
const file = (name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
const pem = identityPem(from);
const identity = {
  certificate: file('mail.pem', pem.certificate),
  key: file('mail.key', pem.key),
};
const secretFile = file('secret', randomBytes(32).toString('hex'));

let postfix: Postfix;
let dns: TestDns;
let http: TestHttp;
let lines: LogLine[];
let running: OpenNotices | undefined;
/** Records by `TYPE name`. */
let records: Record<string, Answer[]>;
let rdap: Record<string, unknown>;
let hooks: { path: string; payload: Record<string, unknown> }[];
let hook: HttpHandler;

beforeAll(async () => {
  postfix = await startPostfix({
    domains: ['example.org', 'example.net', 'va.test'],
    mailboxes: [
      'security',
      'owner',
      'subscriber',
      'bounces',
      ...Array.from({ length: 30 }, (_, i) => `d${i}`),
    ],
  });
  dns = await startDns(() => 'nxdomain');
  http = await startHttp(() => undefined);
});
afterAll(async () => {
  await Promise.all([postfix?.stop(), dns?.[Symbol.asyncDispose](), http?.[Symbol.asyncDispose]()]);
  rmSync(directory, { recursive: true });
});

const tables = emptyTables(testDatabases('sqlite'), 'notice', noticeMigrations, [
  'notice',
  'letter',
  'delivery',
  'subscription',
]);
let database: Database;

beforeEach(() => {
  ({ database } = tables);
  records = { 'A hooks.example.org': [{ type: 'A', name: 'hooks.example.org', data: '127.0.0.1' }] };
  rdap = {};
  hooks = [];
  dns.zone = ({ type, name }: Question): DnsReply => records[`${type} ${name}`] ?? 'nxdomain';
  hook = (_, response) => void response.writeHead(204).end();
  http.handler = (request, response) => {
    const path = request.url!;
    const json = (value: unknown, status = 200) => response.writeHead(status).end(JSON.stringify(value));
    if (path === '/dns.json') return json({ services: [[['org', 'net', 'com'], [`${base()}/rdap/`]]] });
    if (path.startsWith('/rdap/domain/')) {
      const found = rdap[path.slice(13)];
      if (found === 'hang') return undefined;
      return json(found ?? {}, found === undefined ? 404 : 200);
    }
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      hooks.push({ path, payload: JSON.parse(statementVerifiedByOpenssl(Buffer.concat(parts)).toString()) });
      hook(request, response);
    });
    return undefined;
  };
});
afterEach(async () => {
  await running?.notices.close(0);
  running = undefined;
});

const base = () => `http://127.0.0.1:${http.port}`;
const registered = (name: string, ...addresses: string[]) => ({
  objectClassName: 'domain',
  ldhName: name,
  entities: addresses.map((address) => ({
    roles: ['registrant'],
    vcardArray: ['vcard', [['email', {}, 'text', address]]],
  })),
});
const iodef = (name: string, ...values: string[]): Answer[] =>
  values.map((value) => ({ type: 'CAA', name, data: { flags: 0, tag: 'iodef', value } }));

function start(changes: Record<string, unknown> = {}, allowed = ['127.0.0.0/8']): OpenNotices {
  const kept = keptLog();
  lines = kept.lines;
  const config = noticeConfig.parse({
    identity,
    from,
    bounces: 'bounces@va.test',
    secretFile,
    smtp: { server: `127.0.0.1:${postfix.port}`, tls: 'none', timeoutMs: 5_000 },
    rdap: { bootstrap: `${base()}/dns.json`, timeoutMs: 1_000 },
    webhooks: { timeoutMs: 1_000 },
    pollMs: 20,
    retry: { firstMs: 50, maxMs: 200 },
    ...changes,
  });
  running = openNotices(database, readNoticeSecrets(config), {
    config,
    publicUrl,
    allowedTargets: allowed.map(parsePrefix),
    dns: dnsClient({ resolvers: [dns.address], timeoutMs: 500 }),
    log: kept.log,
    now: Date.now,
    random: Math.random,
    tries: () => undefined,
  });
  return running;
}
const waitFor = <T>(condition: () => T | Promise<T>) =>
  vi.waitUntil(condition, { timeout: 60_000, interval: 20 });
/** Of this test alone: mailboxes are kept for the whole file. */
const mailAbout = (mailbox: string, words: string) =>
  postfix.mailbox(mailbox).filter((mail) =>
    mail
      .toString()
      .replace(/\r?\n[ \t]+/g, ' ')
      .includes(words),
  );
const settled = async (about: string, count: number) => {
  await waitFor(async () => {
    const all = await deliveriesAbout(database, 'notice', about);
    return all.length === count && all.every(({ state }) => state !== 'waiting');
  });
  return deliveriesAbout(database, 'notice', about);
};
const subscribe = (domain: string, recipient: string) =>
  database.query('insert into subscription (id, domain, recipient, confirmed_at) values ($1, $2, $3, 0)', [
    newId(),
    domain,
    recipient,
  ]);

describe('a notice', () => {
  it('goes to subscribers, CAA iodef and the registry’s contacts, each once, as a mail that openssl verifies', async () => {
    await subscribe('example.org', 'mailto:subscriber@example.net');
    records['CAA example.org'] = iodef(
      'example.org',
      'mailto:security@example.org',
      'mailto:SUBSCRIBER@example.net',
    );
    rdap['example.org'] = registered('example.org', 'owner@example.org', 'security@example.org', 'REDACTED');
    const notice = testNotice(['www.example.org', '*.example.org', 'mail.example.org']);
    const id = noticeId(notice);
    await database.transaction((statements) => enqueueNotice(statements, notice));
    start();
    const deliveries = await settled(id, 3);
    expect(
      deliveries.map(({ recipient, source, state, tries }) => [recipient, source, state, tries]),
    ).toEqual([
      ['mailto:subscriber@example.net', 'subscription', 'sent', 1],
      ['mailto:security@example.org', 'caa', 'sent', 1],
      ['mailto:owner@example.org', 'rdap', 'sent', 1],
    ]);
    const subject = `Subject: certificate for www.example.org: ${id}`;
    await waitFor(() => mailAbout('owner', subject).length > 0);
    for (const mailbox of ['subscriber', 'security', 'owner']) {
      await waitFor(() => mailAbout(mailbox, subject).length > 0);
      const [mail, ...more] = mailAbout(mailbox, subject);
      expect(more).toEqual([]);
      const text = verifiedByOpenssl(mail!).toString();
      expect(text).toContain('203.0.113.5, which proved to hold the key');
      expect(text).toContain('192.0.2.1 port 443, as www.example.org');
      expect(text).toContain('DE, RIPE NCC, AS64497: this certificate over IPv4');
      expect(text).toContain('SG, APNIC, AS64501: nothing over IPv4 (timeout)');
      expect(text).toContain('no voucher is issued before 2026-11-24 12:00:00 UTC');
      expect(text).toContain('BEGIN CERTIFICATE');
    }
    expect(mailAbout('subscriber', subject)[0]!.toString()).toContain(
      'List-Unsubscribe: <https://va.test/unsubscribe/',
    );
    expect(mailAbout('owner', subject)[0]!.toString()).not.toContain('List-Unsubscribe');
  });

  it('about the same certificate is sent once, however often it is enqueued and whoever looks', async () => {
    await subscribe('example.org', 'mailto:subscriber@example.org');
    const notice = testNotice(['once.example.org']);
    for (let i = 0; i < 3; i++) await enqueueNotice(database, { ...notice, seenAt: notice.seenAt + i });
    const first = start();
    const second = start();
    await settled(noticeId(notice), 1);
    await first.notices.close(0);
    await second.notices.close(0);
    await waitFor(() => mailAbout('subscriber', noticeId(notice)).length > 0);
    expect(mailAbout('subscriber', noticeId(notice))).toHaveLength(1);
  });

  it('reaches a webhook as a signed statement for this webhook alone', async () => {
    await subscribe('example.org', `https://hooks.example.org/unused`);
    records['CAA example.org'] = iodef('example.org', `http://hooks.example.org:${http.port}/a?b=c`);
    const notice = testNotice(['hook.example.org']);
    await enqueueNotice(database, notice);
    start({ sources: ['caa'] });
    const [delivery] = await settled(noticeId(notice), 1);
    expect(delivery).toMatchObject({ state: 'sent', detail: 'status 204' });
    expect(hooks).toHaveLength(1);
    expect(hooks[0]).toMatchObject({
      path: '/a?b=c',
      payload: {
        type: 'mecai-notice',
        from: publicUrl,
        to: `http://hooks.example.org:${http.port}/a?b=c`,
        id: delivery!.id,
        notice: {
          kind: 'first-sight',
          sha256: noticeId(notice),
          names: ['hook.example.org'],
          certificate: Buffer.from(notice.chain[0]!).toString('base64'),
          requester: '203.0.113.5',
          holdUntil: '2026-11-24T12:00:00.000Z',
        },
      },
    });
  });

  it.each<[string, number, string]>([
    ['fails is called again', 503, 'sent'],
    ['is gone is not', 410, 'dead'],
  ])('to a webhook that %s', async (_, status, state) => {
    let calls = 0;
    hook = (_request, response) => void response.writeHead(calls++ === 0 ? status : 204).end();
    records['CAA example.org'] = iodef('example.org', `http://hooks.example.org:${http.port}/${status}`);
    const notice = testNotice([`status-${status}.example.org`]);
    await enqueueNotice(database, notice);
    start({ sources: ['caa'] });
    expect((await settled(noticeId(notice), 1))[0]!.state).toBe(state);
    expect(calls).toBe(state === 'sent' ? 2 : 1);
    expect(new Set(hooks.map(({ payload }) => payload['id'])).size).toBe(1);
  });

  it('is not sent to a webhook on a private address, and DNS cannot change its mind in between', async () => {
    let lookups = 0;
    records['CAA example.org'] = iodef('example.org', `http://rebinding.example.org:${http.port}/`);
    const before = dns.zone;
    dns.zone = (question) =>
      question.name === 'rebinding.example.org' && question.type === 'A'
        ? // First a public address, then loopback: the one that was judged has to be the one that is called.
          [{ type: 'A', name: question.name, data: lookups++ === 0 ? '127.0.0.1' : '127.0.0.2' }]
        : before(question);
    const notice = testNotice(['rebinding.example.org']);
    await enqueueNotice(database, notice);
    start({ sources: ['caa'], retry: { firstMs: 50, maxMs: 50, giveUpMs: 200 } }, []);
    const [delivery] = await settled(noticeId(notice), 1);
    expect(delivery).toMatchObject({
      state: 'dead',
      detail: expect.stringContaining('no address that may be asked'),
    });
    expect(hooks).toEqual([]);
    // One look for each try: there is no second one that a server could answer otherwise.
    expect(lookups).toBe(delivery!.tries);
  });

  it('names each of many domains’ contacts, though some servers hang or lie', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `www.d${i}.com`);
    for (let i = 0; i < 60; i++) rdap[`d${i}.com`] = registered(`d${i}.com`, `d${i % 30}@example.org`);
    rdap['d3.com'] = 'hang';
    rdap['d4.com'] = registered('another.com', 'victim@example.org');
    rdap['d33.com'] = rdap['d34.com'] = registered('x.com');
    const notice = testNotice(names);
    await enqueueNotice(database, notice);
    start({ sources: ['rdap'] });
    await settled(noticeId(notice), 28);
    expect((await listDeliveries(database, ['sent'], 100)).map(({ recipient }) => recipient)).not.toContain(
      'mailto:victim@example.org',
    );
    await waitFor(() =>
      lines.some(({ members }) => members['given'] === true && members['name'] === 'www.d4.com'),
    );
  });

  it('that nobody can be told of is on record', async () => {
    await enqueueNotice(database, testNotice(['nobody.example.com']));
    start();
    await waitFor(() => lines.some(({ message }) => message === 'nobody is known who could be told'));
  });
});

it('a bounce by Postfix finds its delivery', async () => {
  rdap['example.org'] = registered('example.org', 'nobody@example.org');
  const notice = testNotice(['bounce.example.org']);
  await enqueueNotice(database, notice);
  start({ sources: ['rdap'] });
  const [delivery] = await settled(noticeId(notice), 1);
  const report = await waitFor(() => postfix.mailbox('bounces').at(-1));
  const bounce = readBounce(report);
  expect(bounce).toEqual({
    id: delivery!.id,
    detail: expect.stringMatching(/^bounced: 5\.1\.1 .*unknown user/),
  });
  expect(await bounceDelivery(database, bounce!.id, bounce!.detail, 1)).toBe(true);
});

it('a letter is signed like a notice', async () => {
  const letter = {
    id: newId(),
    subject: 'An objection',
    text: 'Words.\n',
    to: ['security@example.org', 'not one'],
  };
  await enqueueLetter(database, letter, newId, Date.now());
  await enqueueLetter(database, letter, newId, Date.now());
  start();
  await waitFor(() => mailAbout('security', 'Subject: An objection').length > 0);
  expect(mailAbout('security', 'Subject: An objection')).toHaveLength(1);
  expect(verifiedByOpenssl(mailAbout('security', 'Subject: An objection')[0]!).toString()).toContain(
    'Words.',
  );
});
