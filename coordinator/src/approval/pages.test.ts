import { randomBytes, randomInt } from 'node:crypto';
import { migrate } from '@mecai/database';
import { testDatabases } from '@mecai/database/testing';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startChromium } from '../../../test/src/parts/chromium.ts';
import type { VrpServer } from '../http-server.ts';
import { endorse } from '../log/endorsements.ts';
import { logMigrations } from '../log/schema.ts';
import { newId } from '../notice/open.ts';
import { noticeMigrations } from '../notice/schema.ts';
import { webLeaf } from '../testing/chains.ts';
import { call } from '../testing/https.ts';
import { testIdentity } from '../testing/identity.ts';
import { startRoutes } from '../testing/routes.ts';
import { Approvals } from './approvals.ts';
import { approvalCode, grouped } from './codes.ts';
import { approvalRoutes } from './routes.ts';
import { approvalMigrations } from './schema.ts';
import { verifyApproval } from './statement.ts';

const secret = randomBytes(32);
const identity = testIdentity('notices@va.test');
const names = ['www.example.org', 'xn--mnchen-3ya.example.org', 'sub.example.org'];
const certificate = webLeaf({ dnsNames: names });
const databases = testDatabases('sqlite');
let server: VrpServer;
let browser: Browser;
let page: Page;
let approvals: Approvals;
/** What the browser would not let the page do. */
let complaints: string[];

beforeAll(async () => {
  const database = await databases.open();
  await migrate(database, 'log', logMigrations, 0);
  await migrate(database, 'notice', noticeMigrations, 0);
  await migrate(database, 'approval', approvalMigrations, 0);
  server = await startRoutes(approvalRoutes(() => approvals, true));
  approvals = new Approvals({
    database,
    rdap: { contacts: async () => ({ mail: [], phone: ['tel:+4930123456'] }) },
    identity,
    secret,
    publicUrl: new URL(server.url).origin,
    lastsMs: 3_600_000,
    maxTries: 3,
    perDomainAndDay: 100,
    automatic: false,
    endorse,
    now: Date.now,
    randomInteger: (below) => randomInt(below),
    newId,
  });
  browser = await startChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.close(0);
});
beforeEach(async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  page = await context.newPage();
  complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('requestfailed', (request) => complaints.push(request.url()));
  return () => context.close();
});

const at = (path: string) => new URL(path, server.url).href;
const code = (number: string) => approvalCode(secret, number, 'example.org');

describe('who was called', () => {
  it('enters the number, sees the request, enters the code, and has approved', async () => {
    const number = await approvals.open(certificate.der);
    await page.goto(at('/approval'));
    await page.getByLabel('Transaction number').fill(grouped(number));
    await page.getByRole('button', { name: 'Show the request' }).click();
    const request = page.getByRole('main');
    for (const name of names) await expect.poll(() => request.innerText()).toContain(name);
    expect(await request.innerText()).toContain('in its own script: münchen.example.org');
    expect(await request.innerText()).toContain('CN=Web Intermediate');
    await page.getByLabel('Approval code').fill('0000 0000');
    await page.getByRole('button', { name: 'Approve this request' }).click();
    expect(await page.getByRole('alert').innerText()).toBe('That is not the approval code.');
    await page.getByLabel('Approval code').fill(` ${grouped(code(number))}`);
    await page.getByRole('button', { name: 'Approve this request' }).click();
    expect(await page.getByRole('status').innerText()).toContain('This request is approved');
    const href = await page.getByRole('link', { name: 'Signed statement' }).getAttribute('href');
    const { headers, body } = await call(at(href!), { method: 'GET' });
    expect(headers['content-type']).toBe('application/cms');
    const statement = await verifyApproval(body, [identity.certificates[0]!.der]);
    expect(statement).toMatchObject({ transaction: number, names, kind: 'certificate' });
    expect(complaints.filter((text) => !text.includes('403'))).toEqual([]);
  });

  it('is told of a number that is none, and of a transaction that is over', async () => {
    await page.goto(at('/approval?number=1'));
    expect(await page.getByRole('alert').innerText()).toContain('no such transaction');
    const number = await approvals.open(certificate.der);
    for (let i = 0; i < 3; i++) await approvals.approve(number, 'wrong');
    await page.goto(at(`/approval?number=${number}`));
    expect(await page.getByRole('status').innerText()).toContain('Too many wrong codes');
    expect(await page.getByLabel('Approval code').count()).toBe(0);
  });

  it('can use the pages with the keyboard, and with a screen reader', async () => {
    const number = await approvals.open(certificate.der);
    await page.goto(at(`/approval?number=${number}`));
    const field = page.getByLabel('Approval code');
    expect(await field.getAttribute('aria-describedby')).toBe('code-hint');
    expect(await page.locator('html').getAttribute('lang')).toBe('en');
    expect(await page.locator('h1').count()).toBe(1);
    await field.focus();
    await page.keyboard.type(code(number));
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.getByRole('status').innerText()).toContain('approved');
  });
});

describe('the pages', () => {
  it('have nothing that axe finds wrong', async () => {
    // The policy lets no script run but axe, which comes in past it.
    const context = await browser.newContext({ ignoreHTTPSErrors: true, bypassCSP: true });
    const seen = await context.newPage();
    const number = await approvals.open(certificate.der);
    for (const path of ['/approval', `/approval?number=${number}`, '/approval?number=1']) {
      await seen.goto(at(path));
      await seen.evaluate(axe.source);
      const found = await seen.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))');
      expect(found).toEqual([]);
    }
    await context.close();
  });

  it('show nothing from a request as markup, and load nothing from elsewhere', async () => {
    const hostile = webLeaf({ subject: '<img src=x onerror=alert(1)>', dnsNames: ['www.example.org'] });
    const number = await approvals.open(hostile.der);
    await page.goto(at(`/approval?number=${number}`));
    expect(await page.locator('img, script, link').count()).toBe(0);
    expect(await page.locator('body').innerText()).toContain(String.raw`\<img src\=x`);
    const { headers } = await call(at('/approval'), { method: 'GET' });
    expect(headers['content-security-policy']).toMatch(/^default-src 'none';/);
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(headers['cache-control']).toBe('no-store');
  });

  it('refuse what is no form, and statements that are not there', async () => {
    const body = JSON.stringify({ number: '1', code: '2' });
    const json = { 'content-type': 'application/json' };
    expect((await call(at('/approval'), { body, headers: json })).status).toBe(415);
    const number = await approvals.open(certificate.der);
    expect((await call(at(`/approval/${number}/statement`), { method: 'GET' })).status).toBe(404);
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const wrong = await call(at('/approval'), { body: `number=${number}&code=1`, headers: form });
    expect(wrong.status).toBe(403);
  });
});

describe('a requester', () => {
  const octets = { 'content-type': 'application/octet-stream' };

  it('begins a transaction by sending a certificate, where that is allowed', async () => {
    const reply = await call(at('/approval/requests'), { body: certificate.der, headers: octets });
    expect(reply.status).toBe(201);
    expect(await approvals.find(String(reply.json()['number']))).toMatchObject({ state: 'open' });
    expect(approvalRoutes(() => approvals, false).map(({ path }) => path)).not.toContain(
      '/approval/requests',
    );
  });

  it('is told why not', async () => {
    const reply = await call(at('/approval/requests'), { body: 'rubbish', headers: octets });
    expect([reply.status, reply.json()['detail']]).toEqual([
      400,
      expect.stringContaining('no certificate or CSR'),
    ]);
  });
});
