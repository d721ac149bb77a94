import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { httpExchange } from '@mecai/pki';
import { type HttpHandler, type TestHttp, startHttp } from '../testing/http-server.ts';
import { readBootstrap } from './bootstrap.ts';
import { contactsOf } from './contacts.ts';
import { RdapClient, registeredDomain } from './rdap-client.ts';

const entity = (roles: string[], properties: unknown[][], rest: object = {}) => ({
  objectClassName: 'entity',
  roles,
  vcardArray: ['vcard', [['version', {}, 'text', '4.0'], ...properties]],
  ...rest,
});
const email = (value: unknown) => ['email', {}, 'text', value];
const tel = (value: unknown, type: unknown = 'voice') => ['tel', { type }, 'uri', value];
const domain = (ldhName: string, entities: unknown[], rest: object = {}) => ({
  objectClassName: 'domain',
  ldhName,
  entities,
  ...rest,
});

describe('contacts in a domain object', () => {
  it('are those of registrant, administration, technology and abuse, however deep, each once', () => {
    const object = domain('example.org', [
      entity(['registrant'], [email('Owner@Example.ORG'), tel('tel:+49-30-1234567')]),
      entity(['technical', 'administrative'], [email('owner@example.org'), tel('+1.4155551212;ext=3')]),
      entity(['billing', 'sponsor'], [email('money@example.org')]),
      entity(['registrar'], [email('info@registrar.example')], {
        entities: [entity(['abuse'], [email('abuse@registrar.example')])],
      }),
    ]);
    expect(contactsOf(object)).toEqual({
      mail: ['owner@example.org', 'abuse@registrar.example'],
      phone: ['tel:+49301234567', 'tel:+14155551212'],
    });
  });

  it.each([
    'REDACTED FOR PRIVACY',
    'https://registrar.example/contact?domain=example.org',
    'a@b',
    'a b@example.org',
    'a@example.org\r\nBcc: victim@example.net',
    'a@example.org,b@example.org',
    '<a@example.org>',
    '"|/bin/sh"@example.org',
    '|id@example.org',
    '/etc/passwd@example.org',
    '@relay.example:a@example.org',
    'a%victim.example@example.org',
    'a@[127.0.0.1]',
    'a@127.0.0.1',
    'ä@example.org',
    'a@exämple.org',
    `${'a'.repeat(65)}@example.org`,
    `a@${'b.'.repeat(130)}org`,
    '',
    null,
    7,
    ['a@example.org'],
  ])('are not %j', (value) => {
    const wrong = entity(['registrant'], [email(value), tel(value)]);
    expect(contactsOf(domain('example.org', [wrong]))).toEqual({ mail: [], phone: [] });
  });

  it.each(
    [tel('tel:+4930123', 'fax'), tel('030 123'), tel('+0301234567'), tel('+49301234567890123')].map(
      (one) => ({ one }),
    ),
  )('are no number that cannot be called: $one', ({ one: number }) => {
    expect(contactsOf(domain('example.org', [entity(['registrant'], [number])])).phone).toEqual([]);
  });

  it('are few, whoever lists many', () => {
    const many = Array.from({ length: 5_000 }, (_, i) => entity(['technical'], [email(`a${i}@example.org`)]));
    expect(contactsOf(domain('example.org', many)).mail).toHaveLength(10);
    let deep: object = entity(['abuse'], [email('deep@example.org')]);
    for (let i = 0; i < 2_000; i++) deep = entity(['registrar'], [], { entities: [deep] });
    expect(contactsOf(domain('example.org', [deep])).mail).toEqual([]);
  });

  it('of anything at all are at most nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        contactsOf(value);
        contactsOf({ entities: value });
        contactsOf({ entities: [{ roles: ['abuse'], vcardArray: value, entities: value }] });
        readBootstrap(value).bases('example.org');
        readBootstrap({ services: [value] }).bases('example.org');
      }),
    );
  });
});

it('finds the registered domain under a public suffix', () => {
  expect(registeredDomain('a.b.example.co.uk')).toBe('example.co.uk');
  expect(registeredDomain('shop.github.io')).toBe('github.io');
  expect(registeredDomain('co.uk')).toBeUndefined();
});

describe('the registry over RDAP', () => {
  let http: TestHttp;
  let base: string;
  let answers: Record<string, HttpHandler>;
  let clock: number;
  let client: RdapClient;

  const json =
    (value: unknown, status = 200): HttpHandler =>
    (_, response) =>
      response.writeHead(status, { 'content-type': 'application/rdap+json' }).end(JSON.stringify(value));
  const redirect =
    (location: string): HttpHandler =>
    (_, response) =>
      response.writeHead(302, { location }).end();
  const example = domain('EXAMPLE.ORG', [entity(['registrant'], [email('owner@example.org')])]);
  const failed = { code: 'rdap-failed' };

  const clientWith = (timeout: number) =>
    new RdapClient({
      exchange: httpExchange({
        resolve: async () => ['10.0.0.1'],
        isAllowed: (address) => address === '127.0.0.1',
        timeout,
      }),
      bootstrap: `${base}/dns.json`,
      now: () => clock,
    });

  beforeEach(async () => {
    http = await startHttp((request, response) =>
      (answers[request.url!] ?? json({ errorCode: 404 }, 404))(request, response),
    );
    base = `http://127.0.0.1:${http.port}`;
    answers = {
      '/dns.json': json({ services: [[['org', 'test'], [`${base}/registry`]]] }),
      '/registry/domain/example.org': json(example),
    };
    clock = 0;
    client = clientWith(5_000);
  });
  afterEach(() => http[Symbol.asyncDispose]());

  it('is asked once an hour for a domain, however many ask', async () => {
    const asked = await Promise.all([client.contacts('example.org'), client.contacts('example.org')]);
    expect(asked).toEqual([{ mail: ['owner@example.org'], phone: [] }, asked[0]]);
    expect(http.asked).toEqual(['GET /dns.json', 'GET /registry/domain/example.org']);
    clock += 3_600_000;
    await client.contacts('example.org');
    expect(http.asked).toHaveLength(4);
  });

  it('knows nothing of a domain that is not registered, or under a suffix without RDAP', async () => {
    expect(await client.contacts('nobody.org')).toEqual({ mail: [], phone: [] });
    expect(await client.contacts('example.zz')).toEqual({ mail: [], phone: [] });
  });

  it('that is thin sends on to the registrar, whose failure costs nothing', async () => {
    const related = { rel: 'related', type: 'application/rdap+json', href: `${base}/registrar/example.test` };
    answers['/registry/domain/example.test'] = json(domain('example.test', [], { links: [null, related] }));
    answers['/registrar/example.test'] = json(
      domain('example.test', [entity(['abuse'], [email('abuse@registrar.example')])]),
    );
    expect((await client.contacts('example.test')).mail).toEqual(['abuse@registrar.example']);
    clock += 3_600_000;
    answers['/registrar/example.test'] = json(domain('other.test', []));
    expect((await client.contacts('example.test')).mail).toEqual([]);
  });

  it.each<[string, () => HttpHandler]>([
    ['another domain', () => json(domain('victim.org', [entity(['abuse'], [email('a@victim.org')])]))],
    ['no domain object', () => json({ ldhName: 'example.org' })],
    ['HTML', () => (_, response) => response.end('<html>')],
    ['too many requests', () => json({}, 429)],
    ['an error', () => json({}, 500)],
    ['nothing', () => () => undefined],
    ['one octet at a time', () => (_, response) => void response.writeHead(200).write('{')],
    ['more than is read', () => (_, response) => response.end(' '.repeat(1_048_577))],
    ['a redirect into a private network', () => redirect('http://intranet.example/domain/example.org')],
    ['a redirect to loopback by name of a file', () => redirect('file:///etc/passwd')],
    ['redirects without end', () => redirect('/registry/domain/example.org')],
  ])('that answers with %s gives no contacts, and is asked again', async (_, handler) => {
    client = clientWith(1_000);
    answers['/registry/domain/example.org'] = handler();
    await expect(client.contacts('example.org')).rejects.toMatchObject(failed);
    answers['/registry/domain/example.org'] = json(example);
    expect((await client.contacts('example.org')).mail).toEqual(['owner@example.org']);
  });

  it('has another server where one fails', async () => {
    answers['/dns.json'] = json({ services: [[['org'], [`${base}/broken/`, `${base}/registry/`]]] });
    answers['/broken/domain/example.org'] = json({}, 503);
    expect((await client.contacts('example.org')).mail).toEqual(['owner@example.org']);
  });

  it('is found by the last good bootstrap file', async () => {
    answers['/dns.json'] = json({}, 500);
    await expect(client.contacts('example.org')).rejects.toMatchObject(failed);
    answers['/dns.json'] = json({ services: [[['org'], [`${base}/registry`]]] });
    await client.contacts('example.org');
    answers['/dns.json'] = json({}, 500);
    clock += 3_600_000;
    expect((await client.contacts('example.org')).mail).toEqual(['owner@example.org']);
  });
});

it('prefers https and the longest match of the bootstrap file', () => {
  const file = {
    services: [
      [['UK'], ['http://a.example', 'https://b.example']],
      [['co.uk'], ['https://c.example/']],
    ],
  };
  expect(readBootstrap(file).bases('example.uk')).toEqual(['https://b.example/', 'http://a.example/']);
  expect(readBootstrap(file).bases('example.co.uk')).toEqual(['https://c.example/']);
});
