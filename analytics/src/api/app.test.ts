import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Row, answerOf, bearer } from '../testing/answers.ts';
import { type Served, serve, seededAt } from '../testing/served.ts';
import { seededIncident } from '../testing/seed.ts';
import { listings } from './listings.ts';

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served.close());

const ask = (path: string, options: RequestInit = {}) => fetch(served.url + path, options);
const json = (path: string, options?: RequestInit) => answerOf(served.url + path, options);

describe('OpenAPI', () => {
  it('describes every route, and every list with its columns', async () => {
    const { body } = await json('/api/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    for (const { name, columns } of listings) {
      const operation = body.paths[`/api/v1/${name}`]!.get;
      const schema = operation.responses[200].content['application/json'].schema;
      expect(Object.keys(schema.properties.items.items.properties)).toEqual(Object.keys(columns));
    }
    for (const path of ['perspectives', 'rates', 'totals', 'sql', 'incidents/{id}', 'endpoints/{endpoint}']) {
      expect(body.paths).toHaveProperty([`/api/v1/${path}`]);
    }
  });
});

describe('a list', () => {
  it.each(listings.map(({ name }) => name))('%s has rows as described', async (name) => {
    const { body: document } = await json('/api/openapi.json');
    const { status, body } = await json(`/api/v1/${name}?limit=5`);
    expect(status).toBe(200);
    if (name !== 'campaigns') expect(body.items.length).toBeGreaterThan(0);
    const schema = document.paths[`/api/v1/${name}`]!.get.responses[200].content['application/json'].schema;
    for (const row of body.items) {
      expect(Object.keys(row)).toEqual(Object.keys(schema.properties.items.items.properties));
    }
  });

  it('is read page by page, each row once, newest first, though more come in', async () => {
    const seen: string[] = [];
    let cursor = '';
    for (let page = 0; page < 100; page++) {
      const { body } = await json(`/api/v1/mismatches?limit=7${cursor}`);
      seen.push(...body.items.map(({ id }) => id));
      if (body.next === null) break;
      cursor = `&cursor=${body.next}`;
      await served.store.command(
        `INSERT INTO mismatches SETTINGS insert_deduplicate = 0 SELECT * REPLACE (concat('new', toString({page:UInt32})) AS id,
          received_at + toIntervalDay(1) AS received_at) FROM mismatches WHERE id NOT LIKE 'new%' LIMIT 1`,
        { page },
      );
    }
    const rows = await served.store.query<{ id: string }>(
      "SELECT id FROM mismatches WHERE id NOT LIKE 'new%' ORDER BY received_at DESC, id DESC",
    );
    expect(rows.length).toBeGreaterThan(20);
    expect(seen).toEqual(rows.map(({ id }) => id));
    await served.store.command(
      "ALTER TABLE mismatches DELETE WHERE id LIKE 'new%' SETTINGS mutations_sync = 1",
    );
  });

  it('keeps rows of one moment apart by their id', async () => {
    const all = await json('/api/v1/decisions?limit=1000');
    const first = await json('/api/v1/decisions?limit=500');
    const second = await json(`/api/v1/decisions?limit=500&cursor=${first.body.next}`);
    expect([...first.body.items, ...second.body.items]).toEqual(all.body.items);
  });

  it.each([
    ['observations', 'country=KZ', ({ country }) => country === 'KZ'],
    ['observations', 'asn=64503', ({ asn }: Row) => asn === 64_503],
    ['observations', 'verdict=mismatch', ({ verdict }: Row) => verdict === 'mismatch'],
    ['observations', 'possession_proven=false', ({ leaf }: Row) => leaf === ''],
    ['observations', 'address=203.0.0.8', ({ address }: Row) => address === '203.0.0.8'],
    [
      'observations',
      'since=2026-11-22T05:00:00Z',
      ({ received_at: at }: Row) => at >= '2026-11-22T05:00:00.000Z',
    ],
    [
      'observations',
      'until=2026-11-22T01:00:00%2B00:00',
      ({ received_at: at }: Row) => at < '2026-11-22T01:00:00.000Z',
    ],
    ['endpoints', 'certificates=3', ({ certificates }: Row) => certificates >= 3],
    ['incidents', 'country=KZ&state=open', ({ kind }: Row) => kind === 'regional-interception'],
    ['vouchers', 'outstanding=2026-11-22T12:00:00Z', ({ not_after: at }: Row) => at > '2026-11-22T12:00:00Z'],
    ['certificates', 'dns_name=site3.example', ({ subject }: Row) => subject === 'CN=www.site3.example'],
  ])('%s by %s', async (name, filter, wanted) => {
    const { body } = await json(`/api/v1/${name}?limit=50&${filter}`);
    expect(body.items.length).toBeGreaterThan(0);
    for (const row of body.items) expect(row).toSatisfy(wanted);
  });

  it('comes as CSV, Parquet and Arrow as well, with the next page in a header', async () => {
    const csv = await ask('/api/v1/observations?limit=3&format=csv');
    expect(csv.headers.get('content-type')).toContain('text/csv');
    const lines = (await csv.text()).trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^"id","received_at"/);
    const next = /<([^>]+)>; rel="next"/.exec(csv.headers.get('link') ?? '')?.[1];
    const following = await (await ask(next!)).text();
    expect(following.split('\n')[1]).not.toBe(lines[1]);
    const page = await json('/api/v1/observations?limit=6');
    expect(following).toContain(page.body.items[3]!.id);
    const parquet = Buffer.from(await (await ask('/api/v1/observations?format=parquet')).arrayBuffer());
    expect(parquet.subarray(0, 4).toString() + parquet.subarray(-4).toString()).toBe('PAR1PAR1');
    const accept = { accept: 'application/vnd.apache.arrow.file' };
    const arrow = Buffer.from(await (await ask('/api/v1/incidents', { headers: accept })).arrayBuffer());
    expect(arrow.subarray(0, 6).toString()).toBe('ARROW1');
  });

  it.each([
    'observations?limit=0',
    'observations?asn=x',
    'observations?since=yesterday',
    'observations?nonsense=1',
    'observations?cursor=abc',
    `observations?cursor=${Buffer.from('[1,2]').toString('base64url')}`,
    "observations?country=' OR 1=1 --&limit=-1",
    'rates?step=1',
    'rates?since=2026-11-22T00:00:00Z&until=2026-11-21T00:00:00Z',
    'incidents/xyz',
    'certificates/ABC',
    'endpoints/no-port',
  ])('refuses %s as a problem', async (path) => {
    const { status, body, headers } = await json(`/api/v1/${path}`);
    expect(status).toBe(400);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ type: 'about:blank', status: 400, code: 'bad-parameter' });
  });

  it('takes whatever text as a value, never as SQL', async () => {
    for (const text of [
      "' OR 1=1 --",
      '{x:String}',
      '\\',
      '\u0000',
      '💥',
      "'; DROP TABLE observations; --",
    ]) {
      const { status, body } = await json(`/api/v1/observations?country=${encodeURIComponent(text)}`);
      expect([status, body.items]).toEqual([200, []]);
    }
  });
});

describe('pages', () => {
  it('of an incident have evidence, chains on both sides and a timeline', async () => {
    const { body } = await json(`/api/v1/incidents/${seededIncident}`);
    expect(body.incident).toMatchObject({ kind: 'regional-interception', countries: ['KZ'], state: 'open' });
    const roles = new Set(body.evidence.map(({ role }) => role));
    expect(roles).toEqual(new Set(['differs', 'agrees']));
    const differs = body.chains.find(({ role }) => role === 'differs')!;
    expect(differs.countries).toEqual(['KZ']);
    expect(differs.certificates[0]).toMatchObject({ issuer: 'CN=Qaznet Trust Network,C=KZ' });
    expect(differs.certificates).toHaveLength(2);
    expect(body.timeline.reduce((sum, { differs: n }) => sum + n, 0)).toBe(
      body.evidence.filter(({ role }) => role === 'differs').length,
    );
  });

  it('of an endpoint have its certificates by country', async () => {
    const { body } = await json('/api/v1/endpoints/www.site3.example:443');
    expect(new Set(body.history.map(({ country }) => country)).size).toBeGreaterThan(5);
    expect(body.history.some(({ issuer }) => issuer.includes('Qaznet'))).toBe(true);
    expect(body.days).toEqual([{ day: '2026-11-22', perspectives: 12, countries: 11 }]);
    expect(body.recent.length).toBeGreaterThan(10);
    const later = Map.groupBy(body.recent, ({ incident }) => incident);
    expect([...later.keys()].sort()).toEqual(['', seededIncident]);
    expect(new Set(later.get(seededIncident)!.map(({ country }) => country))).toEqual(new Set(['KZ']));
    const smtp = await json('/api/v1/endpoints/www.site7.example:25%2Fsmtp');
    expect(smtp.body.endpoint).toEqual({ serverName: 'www.site7.example', port: 25, startTls: 'smtp' });
  });

  it('of a certificate say where it was seen, who vouched, and what is there now', async () => {
    const { body: list } = await json('/api/v1/vouchers?limit=1');
    const { body } = await json(`/api/v1/certificates/${list.items[0]!.leaf}`);
    expect(body.certificate.fingerprint).toBe(list.items[0]!.leaf);
    expect(body.vouchers.length).toBeGreaterThan(0);
    expect(body.sightings[0]).toMatchObject({ endpoint: `${list.items[0]!.server_name}:443` });
    const der = await ask(`/api/v1/certificates/${list.items[0]!.leaf}/der`);
    expect(await der.text()).toBe(`certificate ${list.items[0]!.leaf}`);
  });

  it('of rates count every observation once', async () => {
    for (const by of ['country', 'asn', 'agent', 'rir', 'issuer', 'error_class', 'all']) {
      const { body } = await json(
        `/api/v1/rates?by=${by}&since=2026-11-21T23:00:00Z&until=2026-11-22T07:00:00Z`,
      );
      expect(body.items.reduce((sum, { observations }) => sum + observations, 0)).toBe(12_000);
    }
    const { body } = await json('/api/v1/rates?by=country&step=3600');
    const kz = body.items.filter(({ name }) => name === 'KZ').at(-1)!;
    expect(kz.mismatches).toBeGreaterThan(0);
  });

  it('of perspectives have their health and what they did', async () => {
    const { body } = await json('/api/v1/perspectives');
    const almaty = body.items.find(({ agent }) => agent === 'almaty')!;
    expect(almaty).toMatchObject({ state: 'alive', country: 'KZ', latitude: 43.2 });
    expect(almaty.observations).toBeGreaterThan(0);
    expect(almaty.mismatches).toBeGreaterThan(0);
  });

  it('that are not there are problems', async () => {
    for (const path of [
      `incidents/${'0'.repeat(32)}`,
      `certificates/${'0'.repeat(64)}`,
      'endpoints/x:1',
      'nothing',
    ]) {
      const { status, body } = await json(`/api/v1/${path}`);
      expect([status, body.code]).toEqual([404, 'not-found']);
    }
  });
});

describe('SQL', () => {
  const sql = (query: string, more: object = {}, token = served.token('sql')) =>
    ask('/api/v1/sql', {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: JSON.stringify({ query, ...more }),
    });

  it('answers a SELECT', async () => {
    const response = await sql(
      'SELECT country, count() AS n FROM observations GROUP BY country ORDER BY n DESC LIMIT 1',
    );
    expect(await response.json()).toMatchObject({
      meta: [{ name: 'country' }, { name: 'n' }],
      data: [['KZ', 2000]],
      rows: 1,
    });
    const csv = await sql('SELECT 1 AS x', { format: 'csv' });
    expect(await csv.text()).toBe('"x"\n1\n');
  });

  it.each([
    [403, 'query-refused', "SELECT file('/etc/passwd')"],
    [400, 'query-failed', 'SELECT nothing FROM observations'],
    [422, 'query-limit', 'SELECT number FROM numbers(20000)'],
  ])('answers %s with a problem %s', async (status, code, query) => {
    const response = await sql(query);
    expect([response.status, await response.json()]).toMatchObject([status, { code }]);
  });

  it('needs a token with its scope', async () => {
    const response = await ask('/api/v1/sql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"SELECT 1"}',
    });
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect((await sql('SELECT 1', {}, served.token('read', 'operate'))).status).toBe(403);
  });
});

describe('tokens', () => {
  it('that are unknown are refused, even where none is needed', async () => {
    expect((await json('/api/v1/totals', { headers: bearer('x') })).status).toBe(401);
    expect((await json('/api/v1/totals', { headers: { authorization: 'Basic x' } })).status).toBe(401);
  });

  it('are needed for reading unless the configuration says otherwise', async () => {
    const closed = await serve({
      on: served,
      limits: () => ({ anonymousRead: false, requestsPerMinute: 100_000 }),
    });
    const read = (token?: string) =>
      fetch(`${closed.url}/api/v1/totals`, { headers: token === undefined ? {} : bearer(token) });
    expect((await read()).status).toBe(401);
    expect((await read(closed.token('read'))).status).toBe(200);
    expect((await read(closed.token('sql'))).status).toBe(403);
    await closed.close();
  });

  it('and addresses have a rate each', async () => {
    let time = seededAt;
    const limited = await serve({
      on: served,
      limits: () => ({ anonymousRead: true, requestsPerMinute: 3 }),
      now: () => time,
    });
    const codes = async (token?: string) => {
      const found: number[] = [];
      for (let i = 0; i < 4; i++) {
        const headers = token === undefined ? {} : bearer(token);
        const response = await fetch(`${limited.url}/api/v1/totals`, { headers });
        found.push(response.status);
        if (response.status === 429) expect(response.headers.get('retry-after')).toBe('20');
      }
      return found;
    };
    expect(await codes()).toEqual([200, 200, 200, 429]);
    expect(await codes(limited.token('read'))).toEqual([200, 200, 200, 429]);
    time += 60_000;
    expect(await codes()).toEqual([200, 200, 200, 429]);
    await limited.close();
  });
});

it('sends headers that leave a browser little to do wrong', async () => {
  const { headers } = await ask('/api/v1/totals');
  const policy = headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
  expect(policy).not.toContain('unsafe');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('x-frame-options')).toBe('DENY');
  expect(headers.get('cache-control')).toBe('no-store');
});
