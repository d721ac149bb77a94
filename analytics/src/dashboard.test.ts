import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { dashboardDirectory } from './dashboard.ts';
import {
  type View,
  barriers,
  browser,
  campaign,
  complaints,
  endpoint,
  hostile,
  incident,
  longNames,
  look,
  open,
  overflow,
  served,
  setBed,
  tab,
  vouched,
} from './testing/dashboard-bed.ts';
import { seededIncident } from './testing/seed.ts';
import { seededAt, serve } from './testing/served.ts';

setBed();

const pages = () =>
  ({
    overview: '/',
    incidents: '/incidents',
    incident: `/incidents/${seededIncident}`,
    endpoints: '/endpoints',
    endpoint,
    certificates: '/certificates',
    certificate: `/certificates/${vouched}`,
    clients: '/clients',
    campaigns: '/campaigns',
    campaign: `/campaigns/${campaign}`,
    sql: '/sql',
  }) as const;

describe('every page', () => {
  const all = async (view: View, check: (page: Page, name: string) => Promise<void>) => {
    const page = await tab(view);
    for (const [name, path] of Object.entries(pages())) {
      await look(path, view, page);
      await check(page, name);
      expect([name, complaints.splice(0)]).toEqual([name, []]);
    }
  };

  it('is for everybody, in the dark as well', { timeout: 120_000 }, () =>
    all({}, async (page, name) => {
      expect([name, await barriers(page)]).toEqual([name, []]);
      // Only colours change.
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'dark');
      expect([name, await barriers(page, 'color-contrast')]).toEqual([name, []]);
      await page.emulateMedia({ colorScheme: 'light' });
    }),
  );

  it('fits a narrow screen', { timeout: 60_000 }, () =>
    all({ width: 375 }, async (page, name) => {
      expect([name, await overflow(page)]).toEqual([name, 0]);
      // Nothing is to the side of a table, either; what is folded together is unfolded.
      const aside = await page.evaluate(() => {
        for (const one of document.querySelectorAll('details')) one.open = true;
        return [...document.querySelectorAll('.scroll')].flatMap((one) =>
          one.scrollWidth > one.clientWidth ? [one.ariaLabel] : [],
        );
      });
      expect([name, aside]).toEqual([name, []]);
    }),
  );
});

it('leaves markup in certificates, incidents and names of campaigns the text that it is', async () => {
  const page = await tab();
  for (const path of [
    '/',
    '/incidents',
    `/incidents/${'f'.repeat(32)}`,
    '/certificates',
    '/clients',
    `/certificates/${hostile}`,
    `/campaigns/${campaign}`,
  ]) {
    await look(path, {}, page);
    await page.getByText('<img src=x').first().waitFor();
    expect(
      await page.evaluate(() => [
        document.querySelectorAll('main img, main script').length,
        'broken' in globalThis,
      ]),
    ).toEqual([0, false]);
  }
  expect(complaints.splice(0)).toEqual([]);
});

it('names of ten thousand characters and in either direction spoil no page', {
  timeout: 60_000,
}, async () => {
  const { fingerprint, id } = await longNames();
  const page = await tab({ width: 390 });
  for (const path of ['/', '/incidents', `/incidents/${id}`, '/certificates', '/clients']) {
    await look(path, {}, page);
    expect([path, await overflow(page)]).toEqual([path, 0]);
    expect([path, /wWw(?:wWw){400}/.test(await page.locator('main').innerText())]).toEqual([path, false]);
  }
  await look(`/certificates/${fingerprint}`, {}, page);
  expect(await overflow(page)).toBe(0);
  const said = await page.locator('main').innerText();
  expect(said).toContain('‹U+202E›gnp.elpmaxe‹U+202C›‹U+0000›');
  expect(said).not.toMatch(/[\u202A-\u202E\u2066-\u2069]/);
  expect(await page.getByText('Valid to').locator('xpath=following-sibling::dd').innerText()).toBe('—');
  expect(complaints.splice(0)).toEqual([]);
});

it('is walked by keyboard alone: to the content, along the sections, into a table, and every stop is seen', async () => {
  const page = await look('/incidents');
  const focused = () =>
    page.evaluate(() => {
      const { activeElement: one } = document;
      const { outlineStyle, outlineWidth } = getComputedStyle(one!);
      return { text: one!.textContent.trim(), seen: outlineStyle !== 'none' && outlineWidth !== '0px' };
    });
  await page.keyboard.press('Tab');
  expect(await focused()).toEqual({ text: 'Skip to content', seen: true });
  expect(await page.locator('.skip').boundingBox()).toMatchObject({ x: 8 });
  const stops: string[] = [];
  for (let i = 0; i < 17; i++) {
    await page.keyboard.press('Tab');
    const { text, seen } = await focused();
    expect([text, seen]).toEqual([text, true]);
    stops.push(text);
  }
  expect(stops.slice(0, 8)).toEqual([
    'MECAI analytics',
    'Overview',
    'Incidents',
    'Endpoints',
    'Certificates',
    'Clients',
    'Campaigns',
    'SQL',
  ]);
  expect(stops.some((text) => text.includes('Qaznet'))).toBe(true);
  await page.locator('.skip').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  // Not the sections again.
  expect(await page.evaluate(() => document.activeElement?.closest('main') !== null)).toBe(true);
});

it('shows an incident a few seconds after it opens, without being asked', async () => {
  const page = await tab();
  await page.clock.install();
  await look('/', {}, page);
  await incident('e'.repeat(32), 'Agents in Utopia see something else.');
  await page.clock.fastForward(5000);
  await page.getByText('Agents in Utopia see something else.').waitFor();
});

it('shows whose place GeoIP contradicts, and how', async () => {
  const page = await look('/');
  const why = page.getByText('network: declared AS64508, GeoIP AS64999');
  const doubted = page.getByRole('row').filter({ has: why });
  expect(await doubted.getByRole('link').innerText()).toBe('sydney');
  await doubted.getByText('contradicts', { exact: true }).waitFor();
});

it('leads from the incident to its chains, its endpoints and back, by keyboard', async () => {
  const page = await look('/incidents');
  const link = page.getByRole('link', { name: /Qaznet/ });
  await link.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Incident' }).waitFor();
  await page.locator('h1:focus').waitFor();
  // Both sides are of the same name.
  const sides = page.getByRole('region', { name: /^www\.site3\.example at 203\.0\.0\.4 port 443$/ });
  await sides.getByText('Seen in the affected place').waitFor();
  const [differs, agrees] = [sides.locator('.chain.differs').first(), sides.locator('.chain.agrees').first()];
  expect(await differs.innerText()).toMatch(/www\.site3\.example\s+by Qaznet Trust Network/);
  expect(await agrees.innerText()).toMatch(/www\.site3\.example\s+by (?!Qaznet)/);
  await page.getByRole('link', { name: 'www.site3.example:443' }).first().click();
  await page.getByRole('heading', { level: 1, name: 'www.site3.example:443' }).waitFor();
  await page
    .getByText(/^On \d{4}-\d\d-\d\d looked at by \d+ perspectives? in \d+ countr(y|ies)\.$/)
    .waitFor();
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Incident' }).waitFor();
});

it('shows the first of much evidence, and all of it when asked, by keyboard', async () => {
  const page = await look(`/incidents/${seededIncident}`);
  const evidence = page.getByRole('region', { name: 'Evidence, oldest first' });
  const rows = evidence.locator('tbody tr');
  expect(await rows.count()).toBe(50);
  await page.getByRole('button', { name: /^Show all \d+$/ }).focus();
  await page.keyboard.press('Enter');
  await rows.nth(50).waitFor();
  expect(await evidence.evaluate((one) => one === document.activeElement)).toBe(true);
  const names = await rows.locator('[data-name="Side"]').allInnerTexts();
  expect(new Set(names)).toEqual(new Set(['differs', 'agrees']));
});

it('is as light or dark as the system, or as one chooses, then also the next time', async () => {
  const page = await look('/sql', { dark: true });
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await back();
  await page.emulateMedia({ colorScheme: 'light' });
  await expect.poll(back).not.toBe(dark);
  const light = await back();
  await page.getByRole('button', { name: 'Theme: auto' }).click();
  await page.getByRole('button', { name: 'Theme: light' }).click();
  await expect.poll(back).toBe(dark);
  await page.reload();
  await page.getByRole('button', { name: 'Theme: dark' }).click();
  await expect.poll(back).toBe(light);
});

it('exports an incident with its evidence', async () => {
  const page = await look(`/incidents/${seededIncident}`);
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export JSON' }).click();
  const file = await (await download).path();
  const exported = JSON.parse(readFileSync(file, 'utf8')) as { evidence: unknown[]; chains: unknown[] };
  expect(exported.evidence.length).toBeGreaterThan(20);
  const csv = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Evidence as CSV' }).click();
  const lines = readFileSync(await (await csv).path(), 'utf8').split('\n');
  expect(lines).toHaveLength(exported.evidence.length + 1);
});

describe('filters', () => {
  it('are in the address, so that a view can be passed on', async () => {
    const page = await look('/incidents?state=closed');
    await page.getByText('No incident like this.').waitFor();
    await page.getByLabel('State').selectOption('open');
    await page
      .getByRole('link', { name: /Qaznet/ })
      .first()
      .waitFor();
    expect(new URL(page.url()).search).toBe('?state=open');
    await page.getByLabel('Country').fill('se');
    await page.keyboard.press('Enter');
    await page.getByText('No incident like this.').waitFor();
    expect(new URL(page.url()).search).toBe('?state=open&country=SE');
    await page.reload();
    await page.getByText('No incident like this.').waitFor();
    expect(await page.getByLabel('Country').inputValue()).toBe('SE');
    await page.goBack();
    await page
      .getByRole('link', { name: /Qaznet/ })
      .first()
      .waitFor();
    expect(await page.getByLabel('Country').inputValue()).toBe('');
    await page.goForward();
    await page.getByText('No incident like this.').waitFor();
    expect(await page.getByLabel('Country').inputValue()).toBe('SE');
  });

  it('of the plot as well', async () => {
    const page = await look('/?range=6&by=agent');
    const plot = page.getByRole('img', { name: /Mismatch rate over time of 12 series/ });
    await plot.waitFor();
    await page.getByLabel('By').selectOption('rir');
    await page.getByRole('img', { name: /of 5 series; highest in all: ripencc/ }).waitFor();
    expect(new URL(page.url()).search).toBe('?range=6&by=rir');
  });
});

it('says what is wrong when the store is away, and when there is no such thing', async () => {
  const away = await serve({ on: served, store: () => undefined, dashboard: dashboardDirectory() });
  const page = await look('/', { url: away.url, token: '' });
  await page.getByRole('alert').first().waitFor();
  expect(await page.getByRole('alert').first().innerText()).toContain('store');
  await away.close();
  const missing = await look(`/incidents/${'0'.repeat(32)}`);
  expect(await missing.getByRole('alert').innerText()).toContain('Not here');
  for (const path of ['/campaigns/x/y', '/endpoints/%ff']) {
    await look(path, {}, missing);
    await missing.getByRole('alert').waitFor();
  }
  await look('/no-such-page', {}, missing);
  await missing.getByRole('heading', { name: 'There is no such page.' }).waitFor();
});

it('says so while answers take their time, and when there are none, and goes on when there are again', async () => {
  const page = await tab();
  await page.clock.install();
  let answers = Promise.withResolvers<void>();
  let down = false;
  await page.route('**/api/v1/incidents*', async (route) => {
    await answers.promise;
    await (down ? route.abort() : route.continue());
  });
  await page.goto(`${served.url}/incidents`);
  await page.getByRole('status').getByText('Loading').waitFor();
  down = true;
  answers.resolve();
  await page.getByRole('alert').waitFor();
  down = false;
  answers = Promise.withResolvers();
  answers.resolve();
  await page.clock.fastForward(5000);
  await page
    .getByRole('link', { name: /Qaznet/ })
    .first()
    .waitFor();
  await page.getByRole('alert').waitFor({ state: 'detached' });
});

it('asks for a token where one is needed, and takes it', async () => {
  const closed = await serve({
    on: served,
    limits: () => ({ anonymousRead: false, requestsPerMinute: 100_000 }),
    dashboard: dashboardDirectory(),
    now: () => seededAt,
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  open.push(page);
  // A reader's clock may be wrong: the server's counts, which here is of the day that is seeded.
  await page.clock.setFixedTime(seededAt + 3 * 86_400_000);
  await page.goto(closed.url);
  await page.getByText('Enter a token at the top of the page.').first().waitFor();
  await page.getByRole('button', { name: 'Token' }).click();
  await page.getByLabel('Token', { exact: true }).fill(closed.token('read'));
  await page.getByRole('button', { name: 'Use it' }).click();
  await page.getByText('Open incidents').first().waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
  await closed.close();
});

it('looks again whether a certificate is still served', async () => {
  const page = await look(`/certificates/${vouched}`);
  await page.getByRole('button', { name: 'Still served? Look again' }).click();
  await page.getByRole('heading', { level: 1, name: 'Campaign' }).waitFor();
  await page.getByText('Still served?').first().waitFor();
  await page.getByText('waiting').first().waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('stopped').waitFor();
});

it('orders a campaign for a list of endpoints', async () => {
  const page = await look('/campaigns');
  await page.getByLabel('What it is for').fill('These two');
  await page.getByLabel('Endpoints of').selectOption('endpoints');
  const list = page.getByLabel(/^One a line/);
  await list.fill('192.0.2.7\n');
  await page.getByRole('button', { name: 'Order' }).click();
  await page.getByRole('alert').waitFor();
  await list.fill('192.0.2.7 443 www.example.org\n2001:db8::25 25 mx.example.org smtp');
  await page.getByRole('button', { name: 'Order' }).click();
  await page.getByRole('heading', { level: 1, name: 'Campaign' }).waitFor();
  await page.getByRole('link', { name: 'www.example.org:443' }).waitFor();
  await page.getByRole('link', { name: 'mx.example.org:25/smtp' }).waitFor();
});

it('shows one series alone, and all again', async () => {
  const page = await look('/?by=agent&range=6');
  await page.getByRole('link', { name: 'tokyo' }).click();
  await page.getByRole('img', { name: /Mismatch rate over time of 1 series/ }).waitFor();
  await page.getByRole('button', { name: 'Only tokyo: show all' }).click();
  await page.getByRole('img', { name: /of 12 series/ }).waitFor();
});

it('shows what clients reported, by code and name, and what came of their checks', async () => {
  const page = await look('/clients?code=other-leaf');
  const table = page.getByRole('region', { name: 'Failed checks that clients reported, newest first' });
  await table.getByRole('link', { name: 'www.site3.example' }).first().waitFor();
  expect(await table.getByText('other intermediates').count()).toBeGreaterThan(0);
  await page.getByRole('searchbox', { name: 'Code' }).fill('no-voucher');
  await page.keyboard.press('Enter');
  await page.getByText('No report like this.').waitFor();
  expect(new URL(page.url()).search).toBe('?code=no-voucher');
  await page
    .getByRole('img', { name: /^Share of checks that failed, by day and code: [\d.]+ % of [\d,]+ checks/ })
    .waitFor();
  await page.getByText('As a table').click();
  await page.getByRole('region', { name: 'Checks over the whole time' }).getByText('no voucher').waitFor();
});

it('runs a query and shows why another is not run', async () => {
  const page = await look('/sql');
  const field = page.getByLabel('A SELECT in the SQL of ClickHouse');
  await field.fill(
    "SELECT agent, count() AS n FROM observations WHERE verdict = 'mismatch' GROUP BY agent ORDER BY agent",
  );
  await page.keyboard.press('Control+Enter');
  await page.getByRole('cell', { name: 'astana' }).waitFor();
  await field.fill("SELECT file('/etc/passwd')");
  await page.getByRole('button', { name: /^Run/ }).click();
  await page.getByText('function file is not allowed').waitFor();
});
