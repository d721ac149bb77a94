import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePrefix } from '@mecai/addresses';
import type { Database } from '@mecai/database';
import { testDatabases } from '@mecai/database/testing';
import { testCertificate } from '@mecai/voucher/testing';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { approvalConfig } from '../approval/config.ts';
import { approvalMigrations } from '../approval/schema.ts';
import { logMigrations } from '../log/schema.ts';
import { keyPemOf, pemOf, webLeaf } from '../testing/chains.ts';
import { type TestHttp, startHttp } from '../testing/http-server.ts';
import { identityPem } from '../testing/identity.ts';
import { keptLog } from '../testing/log.ts';
import { testNotice } from '../testing/notice.ts';
import { statementVerifiedByOpenssl } from '../testing/openssl-mail.ts';
import { emptyTables } from '../testing/tables.ts';
import { noticeConfig } from './config.ts';
import { enqueueNotice } from './notice.ts';
import { type OpenNotices, newId, openNotices, readNoticeSecrets } from './open.ts';
import { type Delivery, addDelivery, listDeliveries } from './outbox.ts';
import { noticeMigrations } from './schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-notice-config-'));
const file = (name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
const from = 'notices@va.test';
const pem = identityPem(from);
const identity = { certificate: file('mail.pem', pem.certificate), key: file('mail.key', pem.key) };
const https = testCertificate({ subject: 'hooks.test', dnsNames: ['hooks.test', 'localhost'] });
const ca = file('ca.pem', pemOf(https));
const tables = emptyTables(
  testDatabases('sqlite'),
  'all',
  [...logMigrations, ...noticeMigrations, ...approvalMigrations],
  ['notice', 'letter', 'delivery', 'subscription', 'approval', 'approval_domain'],
);

interface Taken {
  readonly envelope: string;
  readonly text: string;
  readonly secure: boolean;
  readonly user: string;
}
let database: Database;
let taken: Taken[];
let smtp: SMTPServer | undefined;
let secured: TestHttp;
let registry: TestHttp;
let running: OpenNotices | undefined;
/** Milliseconds after which a webhook or registry answers. */
let slow: number;
let calls: Buffer[];
let atOnce: number;
let mostAtOnce: number;

beforeAll(async () => {
  const answer: Parameters<typeof startHttp>[0] = (request, response) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      calls.push(Buffer.concat(parts));
      setTimeout(() => {
        atOnce--;
        const base = `${request.headers.host}`.startsWith('127') ? 'http' : 'https';
        const url = `${base}://${request.headers.host}/`;
        const contact = [
          ['email', {}, 'text', 'owner@example.org'],
          ['tel', {}, 'uri', 'tel:+4930123456'],
        ];
        const entities = [{ roles: ['registrant'], vcardArray: ['vcard', contact] }];
        const object = { objectClassName: 'domain', ldhName: 'example.org', entities };
        const bootstrap = { services: [[['org'], [url]]] };
        response.end(JSON.stringify(request.url === '/dns.json' ? bootstrap : object));
      }, slow);
    });
  };
  secured = await startHttp(answer, { key: keyPemOf(https), cert: pemOf(https) });
  registry = await startHttp(answer);
});
afterAll(async () => {
  await Promise.all([secured?.[Symbol.asyncDispose](), registry?.[Symbol.asyncDispose]()]);
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  ({ database } = tables);
  taken = [];
  calls = [];
  slow = atOnce = mostAtOnce = 0;
});
afterEach(async () => {
  await running?.notices.close(0);
  running = undefined;
  await new Promise<void>((resolve) => (smtp ? smtp.close(resolve) : resolve()));
  smtp = undefined;
});

async function mailServer(options: SMTPServerOptions = {}): Promise<string> {
  smtp = new SMTPServer({
    key: keyPemOf(https).toString(),
    cert: pemOf(https),
    authOptional: true,
    onAuth: ({ username, password }, _, done) =>
      done(null, password === 'correct' ? { user: username ?? '' } : {}),
    onData(stream, { envelope: { mailFrom }, secure, user }, done) {
      let text = '';
      stream.on('data', (part: Buffer) => (text += part.toString('latin1')));
      stream.on('end', () => {
        const envelope = mailFrom === false ? '' : mailFrom.address;
        taken.push({ envelope, text, secure, user: typeof user === 'string' ? user : '' });
        done();
      });
    },
    ...options,
  });
  smtp.on('error', () => undefined);
  smtp.listen(0, '127.0.0.1');
  await once(smtp.server, 'listening');
  return `localhost:${(smtp.server.address() as { port: number }).port}`;
}

const secretFile = file('secret', randomBytes(32).toString('hex'));
const options = (changes: Record<string, unknown> = {}) => ({
  identity,
  from,
  bounces: 'bounces@va.test',
  secretFile,
  smtp: { server: '127.0.0.1:9', tls: 'none' },
  rdap: { bootstrap: `http://127.0.0.1:${registry.port}/dns.json` },
  pollMs: 20,
  retry: { firstMs: 50, maxMs: 50 },
  ...changes,
});

function start(changes: Record<string, unknown> = {}, approval?: object): OpenNotices {
  const config = noticeConfig.parse(options(changes));
  running = openNotices(database, readNoticeSecrets(config), {
    config,
    approval: approval && approvalConfig.parse(approval),
    publicUrl: 'https://va.test',
    allowedTargets: [parsePrefix('127.0.0.0/8')],
    dns: {
      txt: async () => [],
      caa: async () => [{ tag: 'iodef', value: 'mailto:caa@example.org' }],
      addresses: async () => ['127.0.0.1'],
    },
    log: keptLog().log,
    now: Date.now,
    random: () => 1,
    tries: () => undefined,
  });
  return running;
}
const waitFor = <T>(condition: () => T | Promise<T>) =>
  vi.waitUntil(condition, { timeout: 60_000, interval: 20 });
async function enqueue(...recipients: string[]): Promise<void> {
  const notice = testNotice(['www.example.org']);
  await enqueueNotice(database, notice);
  await database.query('update notice set next_at = null');
  const [row] = await database.query<{ id: string }>('select id from notice');
  for (const recipient of recipients) {
    const delivery = {
      id: newId(),
      recipient,
      source: 'test',
      kind: 'notice',
      about: row!.id,
      rank: 0,
    } as const;
    await addDelivery(database, delivery, Date.now());
  }
}
const all = (): Promise<Delivery[]> => listDeliveries(database, ['waiting', 'sent', 'dead'], 100);
const first = async () => (await all())[0]!;
const tried = () => waitFor(async () => (await first()).detail !== '' && first());
const hook = (path: string) => `https://hooks.test:${secured.port}/${path}`;

describe('notice', () => {
  it('from, replyTo, bounces: where a mail comes from, where answers and bounces go', async () => {
    await enqueue('mailto:a@example.org');
    const server = await mailServer();
    start({ smtp: { server, tls: 'none' }, replyTo: 'people@va.test', bounces: 'back@mx.va.test' });
    const mail = await waitFor(() => taken[0]!);
    expect(mail.text).toMatch(
      /^From: notices@va\.test\r\nTo: a@example\.org\r\nReply-To: people@va\.test\r\n/,
    );
    expect(mail.envelope).toBe(`back+${(await first()).id}@mx.va.test`);
  });

  it('identity: has to be that of the sender', () => {
    const config = noticeConfig.parse(options({ from: 'other@va.test' }));
    expect(() => readNoticeSecrets(config)).toThrow('not for other@va.test');
  });

  it('secretFile: long enough, and what challenges are made from', async () => {
    const challenge = () => start().subscriptions.challenge('example.org', 'mailto:a@example.org').value;
    const config = noticeConfig.parse(options({ secretFile: file('short', 'x'.repeat(31)) }));
    expect(() => readNoticeSecrets(config)).toThrow('less than 32 octets');
    const before = challenge();
    await running!.notices.close(0);
    file('secret', randomBytes(32).toString('hex'));
    expect(challenge()).not.toBe(before);
  });

  it('smtp.tls, smtp.ca, smtp.user, smtp.passwordFile: how the mail server is spoken to', async () => {
    await enqueue('mailto:a@example.org');
    const server = await mailServer({ authOptional: false });
    const passwordFile = file('password', 'correct\n');
    start({ smtp: { server, ca, user: 'va', passwordFile } });
    expect(await waitFor(() => taken[0]!)).toMatchObject({ secure: true, user: 'va' });
  });

  it('smtp.timeoutMs: how long a silent mail server is waited for', async () => {
    await enqueue('mailto:a@example.org');
    const server = await mailServer({ onRcptTo: () => undefined });
    start({ smtp: { server, tls: 'none', timeoutMs: 200 } });
    expect(await tried()).toMatchObject({ state: 'waiting', detail: expect.stringMatching(/time/i) });
  });

  it('webhooks.ca: whom webhooks are judged by', async () => {
    await enqueue(hook('a'));
    start();
    expect(await tried()).toMatchObject({
      state: 'waiting',
      detail: expect.stringContaining('request failed'),
    });
    await running!.notices.close(0);
    start({ webhooks: { ca } });
    await waitFor(async () => (await first()).state === 'sent');
  });

  it('webhooks.timeoutMs, webhooks.concurrency: how long, and how many at once', async () => {
    slow = 400;
    await enqueue(...Array.from({ length: 6 }, (_, i) => hook(`${i}`)));
    start({ webhooks: { ca, concurrency: 3 } });
    await waitFor(async () => (await all()).every(({ state }) => state === 'sent'));
    expect(mostAtOnce).toBe(3);
    await running!.notices.close(0);
    await database.query('delete from delivery');
    await enqueue(hook('slow'));
    start({ webhooks: { ca, timeoutMs: 100 } });
    expect(await tried()).toMatchObject({ detail: expect.stringContaining('no answer in 100 ms') });
  });

  it('rdap.bootstrap, rdap.ca: who is asked for contacts', async () => {
    await enqueueNotice(database, testNotice(['www.example.org']));
    const bootstrap = `https://hooks.test:${secured.port}/dns.json`;
    start({ sources: ['rdap'], rdap: { bootstrap, ca } });
    await waitFor(async () => (await all()).length > 0);
    expect(secured.asked).toContain('GET /domain/example.org');
    expect(await first()).toMatchObject({ recipient: 'mailto:owner@example.org', source: 'rdap' });
  });

  it('rdap.timeoutMs: how long a registry is waited for', async () => {
    slow = 500;
    const notice = testNotice(['www.example.org']);
    await enqueueNotice(database, notice);
    const { bootstrap } = options().rdap;
    start({ sources: ['rdap'], rdap: { bootstrap, timeoutMs: 100 }, retry: { firstMs: 60_000 } });
    await waitFor(async () => {
      const [row] = await database.query<{ names: string }>('select names from notice');
      return row!.names === '[["www.example.org",1]]';
    });
  });

  it('sources: who is told', async () => {
    await enqueueNotice(database, testNotice(['www.example.org']));
    start({ sources: ['caa'] });
    await waitFor(async () => (await all()).length > 0);
    expect((await all()).map(({ recipient }) => recipient)).toEqual(['mailto:caa@example.org']);
  });

  it('retry.firstMs, retry.maxMs, retry.giveUpMs: when there is another try, and when there is none', async () => {
    await enqueue('mailto:a@example.org');
    start({ retry: { firstMs: 60_000, maxMs: 600_000 } });
    const before = Date.now();
    expect((await tried()).nextAt - before).toBeGreaterThanOrEqual(60_000);
    await running!.notices.close(0);
    await database.query('update delivery set next_at = 0');
    start({ retry: { firstMs: 60_000, maxMs: 1_000 } });
    await waitFor(async () => (await first()).tries === 2 && (await first()).nextAt > 0);
    expect((await first()).nextAt - Date.now()).toBeLessThanOrEqual(1_000);
    await running!.notices.close(0);
    start({ retry: { firstMs: 10, maxMs: 10, giveUpMs: 10 } });
    await waitFor(async () => (await first()).state === 'dead');
  });

  it('pollMs: when it is seen what another coordinator has put into the outbox', async () => {
    const server = await mailServer();
    start({ smtp: { server, tls: 'none' }, pollMs: 3_600_000 });
    await enqueue('mailto:a@example.org');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken).toEqual([]);
    await running!.notices.close(0);
    start({ smtp: { server, tls: 'none' }, pollMs: 20 });
    await waitFor(() => taken.length > 0);
  });

  it('leaseMs: when another takes up what a killed coordinator was at', async () => {
    await enqueue('mailto:a@example.org');
    const server = await mailServer({ onRcptTo: () => undefined });
    const leased = async () => {
      const [row] = await database.query<{ leased_until: number }>('select leased_until from delivery');
      return row!.leased_until - Date.now();
    };
    start({ smtp: { server, tls: 'none' } });
    expect(await waitFor(async () => (await leased()) > 0 && leased())).toBeGreaterThan(30_000);
    await running!.notices.close(0);
    start({ smtp: { server, tls: 'none' }, leaseMs: 5_000 });
    expect(await waitFor(async () => (await leased()) > 0 && leased())).toBeLessThanOrEqual(5_000);
  });

  it('keepMs: how long what is settled is remembered', async () => {
    await enqueue('mailto:a@example.org', 'mailto:b@example.org');
    const at = Date.now() - 10_000;
    await database.query(
      `update delivery set state = 'sent', settled_at = $1, next_at = $1 where recipient = 'mailto:a@example.org'`,
      [at],
    );
    start({ keepMs: 9_000, retry: { firstMs: 60_000 } });
    await waitFor(async () => (await all()).length === 1);
    expect(await first()).toMatchObject({ recipient: 'mailto:b@example.org' });
    await running!.notices.close(0);
    await database.query(`update delivery set state = 'dead', settled_at = $1`, [at]);
    await database.query('update notice set enqueued_at = $1', [at]);
    start({ keepMs: 9_000 });
    await waitFor(async () => (await database.query('select id from notice')).length === 0);
  });

  it.each([
    ['a sender that is none', { from: 'VA <notices@va.test>' }],
    ['bounces to nobody', { bounces: 'bounces' }],
    ['no mail server', { smtp: {} }],
    ['nobody to tell', { sources: [] }],
    ['a source that is none', { sources: ['whois'] }],
    ['a misspelt member', { poll: 1 }],
  ])('%s is refused', (_, changes) => expect(noticeConfig.safeParse(options(changes)).success).toBe(false));
});

describe('approval', () => {
  const leaf = webLeaf();
  const opened = async (approval: object, changes: Record<string, unknown> = {}) => {
    const { approvals } = start(changes, approval);
    const number = await approvals!.open(leaf.der);
    return { approvals: approvals!, number };
  };

  it('lastsMs, maxTries, perDomainAndDay: how long, how often wrong, and how often', async () => {
    const { approvals, number } = await opened({ lastsMs: 60_000, maxTries: 1, perDomainAndDay: 1 });
    const { openedAt, expiresAt } = (await approvals.find(number))!;
    expect(expiresAt - openedAt).toBe(60_000);
    expect(await approvals.approve(number, '0')).toBe('wrong');
    expect((await approvals.find(number))!.state).toBe('locked');
    await expect(approvals.open(leaf.der)).rejects.toThrow('often enough');
  });

  it('telephony.url, telephony.ca: who calls, and what is said', async () => {
    const url = `https://hooks.test:${secured.port}/call`;
    const { approvals, number } = await opened({ telephony: { url, ca } });
    expect(await approvals.callSheet(number)).toBe('');
    await waitFor(async () => (await first()).state === 'sent');
    const said = JSON.parse(statementVerifiedByOpenssl(calls.at(-1)!).toString());
    expect(said).toMatchObject({ type: 'mecai-call', from: 'https://va.test', phone: '+4930123456' });
    const [, code = ''] = /approval code (\d{4} \d{4})\./.exec(said.text) ?? [];
    expect(await approvals.approve(number, code.replace(' ', ''))).toBe('approved');
  });

  it('telephony.timeoutMs: how long the provider is waited for', async () => {
    const url = `https://hooks.test:${secured.port}/call`;
    const { approvals } = start({}, { telephony: { url, ca, timeoutMs: 100 }, openTo: 'operators' });
    const number = await approvals!.open(leaf.der);
    slow = 500;
    await database.query(`update delivery set state = 'waiting', next_at = 0, detail = ''`);
    running!.notices.wake();
    await waitFor(async () => (await first()).detail.includes('no answer in 100 ms'));
    expect((await first()).about).toBe(`${number} example.org`);
  });

  it('a call is not made for a transaction that has expired', async () => {
    const url = `https://hooks.test:${secured.port}/call`;
    slow = 300;
    await opened({ telephony: { url, ca, timeoutMs: 100 }, lastsMs: 60_000 });
    await database.query('update delivery set enqueued_at = enqueued_at - 60000, next_at = 0');
    expect(await waitFor(async () => (await first()).state === 'dead' && first())).toMatchObject({
      detail: 'the transaction has expired',
    });
  });
});
