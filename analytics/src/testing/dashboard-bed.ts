/** The dashboard in a real browser. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { startChromium } from '../../../test/src/parts/chromium.ts';
import { buildDashboard } from '../build-dashboard.ts';
import { dashboardDirectory } from '../dashboard.ts';
import { seededIncident } from './seed.ts';
import { type Served, serve, smallSeed } from './served.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const markup = '<img src=x onerror="globalThis.broken = true"><script>globalThis.broken = true</script>';
export const hostile = 'ab'.repeat(32);
export const endpoint = '/endpoints/www.site3.example%3A443';

export let served: Served;
export let browser: Browser;
export let vouched: string;
export let campaign: string;
export const open: Page[] = [];

/** A store with an incident, and with markup wherever strangers choose a name; a browser, and what it complains of. */
export function setBed(): void {
  beforeAll(async () => {
    await buildDashboard();
    // The pages go by the clock of the browser.
    const until = Date.now() - 5000;
    served = await serve({ seeded: { ...smallSeed, until }, dashboard: dashboardDirectory(), now: Date.now });
    await served.store.command(
      `INSERT INTO certificates (fingerprint, first_received_at, subject, issuer, serial, not_before, not_after, dns_names,
        spki, key, fault, der_base64) SETTINGS insert_deduplicate = 0
      SELECT {hostile:String}, now64(3), concat('CN=', {markup:String}), {markup:String}, {markup:String}, NULL, NULL,
        [{markup:String}], '', {markup:String}, {markup:String}, ''`,
      { hostile, markup },
    );
    await incident('f'.repeat(32), markup);
    await served.store.command(
      `INSERT INTO client_reports SETTINGS insert_deduplicate = 0 SELECT * REPLACE ('hostile' AS id, now64(3) AS received_at,
        {markup:String} AS server_name, [{markup:String}] AS codes, [{markup:String}] AS vas) FROM client_reports LIMIT 1`,
      { markup },
    );
    const [voucher] = await served.store.query<{ leaf: string }>('SELECT leaf FROM vouchers LIMIT 1');
    vouched = voucher!.leaf;
    const ordered = await fetch(`${served.url}/api/v1/campaigns`, {
      method: 'POST',
      headers: { authorization: `Bearer ${served.token('operate')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: markup, choice: { kind: 'certificate', subject: vouched } }),
    });
    campaign = ((await ordered.json()) as { id: string }).id;
    browser = await startChromium();
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await served.close();
  });
  afterEach(async () => {
    for (const page of open.splice(0)) await page.context().close();
    // Those of a test that failed are not the next one's.
    complaints.length = 0;
  });
}

/** Another incident like the seeded one. */
export const incident = (id: string, summary: string) =>
  served.store.command(
    `INSERT INTO incidents SETTINGS insert_deduplicate = 0
      SELECT * REPLACE ({id:String} AS id, {summary:String} AS summary, [{summary:String}] AS issuers)
      FROM (SELECT * FROM incidents FINAL WHERE id = {seeded:String})`,
    { id, summary, seeded: seededIncident },
  );

/** An incident, its certificate and a report with names of ten thousand characters, and in either direction. */
export async function longNames() {
  const overridden = 'CN=\u202Egnp.elpmaxe\u202C\u0000,O=שלום 👩‍👩‍👧';
  const long = `CN=${'wWw'.repeat(3400)}`;
  const fingerprint = 'cd'.repeat(32);
  const id = 'c'.repeat(32);
  await served.store.command(
    `INSERT INTO certificates (fingerprint, first_received_at, subject, issuer, serial, not_before, not_after,
        dns_names, spki, key, fault, der_base64) SETTINGS insert_deduplicate = 0
      SELECT {fingerprint:String}, now64(3), {overridden:String}, {long:String}, {long:String}, NULL, NULL,
        [{long:String}, {overridden:String}], '', {long:String}, {overridden:String}, ''`,
    { fingerprint, overridden, long },
  );
  await incident(id, long);
  await served.store.command(
    `INSERT INTO incident_evidence SETTINGS insert_deduplicate = 0
      SELECT * REPLACE ({id:String} AS incident, {fingerprint:String} AS leaf, {long:String} AS server_name)
      FROM (SELECT * FROM incident_evidence WHERE incident = {seeded:String} AND role = 'differs' LIMIT 5)`,
    { id, fingerprint, long, seeded: seededIncident },
  );
  await served.store.command(
    `INSERT INTO client_reports SETTINGS insert_deduplicate = 0 SELECT * REPLACE ('long' AS id, now64(3) AS received_at,
        {long:String} AS server_name, [{overridden:String}] AS codes, [{long:String}] AS vas)
      FROM client_reports LIMIT 1`,
    { long, overridden },
  );
  return { fingerprint, id };
}

export interface View {
  readonly dark?: boolean;
  readonly width?: number;
  readonly url?: string;
  readonly token?: string;
}

export const complaints: string[] = [];

/** A browser of its own, whose complaints are kept. */
export async function tab({ dark = false, width = 1280, url = served.url, token }: View = {}): Promise<Page> {
  const context = await browser.newContext({
    colorScheme: dark ? 'dark' : 'light',
    viewport: { width, height: 900 },
  });
  await context.addInitScript(
    (value) => sessionStorage.setItem('mecai-token', value),
    token ?? served.token('read', 'sql', 'operate'),
  );
  const page = await context.newPage();
  open.push(page);
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !/^(data|blob):/.test(request.url()))
      complaints.push(request.url());
  });
  return page;
}

/** A page as it is once everything is loaded. */
export async function look(path: string, view: View = {}, page?: Page): Promise<Page> {
  const shown = page ?? (await tab(view));
  await shown.goto((view.url ?? served.url) + path);
  await shown.waitForSelector('h1');
  await shown.waitForFunction(() => document.querySelector('.loading') === null);
  return shown;
}

/** What axe-core finds that keeps somebody from using the page, by all of its rules or by one. */
export async function barriers(page: Page, rule?: string): Promise<string[]> {
  await page.evaluate(axe);
  // It cannot tell the contrast to a shade, which whatever scrolls has at its edges.
  await page.evaluate(() => {
    for (const one of document.querySelectorAll<HTMLElement>('.scroll')) one.style.backgroundImage = 'none';
  });
  const { violations } = await page.evaluate(
    (options) => (globalThis as unknown as { axe: Axe }).axe.run(options),
    rule === undefined ? {} : { runOnly: [rule] },
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

interface Axe {
  run(options: object): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>;
}

/** Pixels by which a page is wider than the window. */
export const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
