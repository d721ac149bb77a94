import type { Answer, Question } from 'dns-packet';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type DnsReply, type TestDns, startDns } from '../../../test/src/parts/dns-server.ts';
import { iodefUrls, relevantCaa } from './caa.ts';
import { dnsClient } from './dns-client.ts';

const open: TestDns[] = [];
afterEach(async () => {
  for (const dns of open.splice(0)) await dns[Symbol.asyncDispose]();
});

async function zone(reply: (question: Question) => DnsReply): Promise<TestDns> {
  const dns = await startDns(reply);
  open.push(dns);
  return dns;
}

const client = (...servers: TestDns[]) =>
  dnsClient({ resolvers: servers.map(({ address }) => address), timeoutMs: 1_000 });

const txt = (name: string, data: string | string[]): Answer => ({ type: 'TXT', name, data });
const caa = (name: string, tag: string, value: string): Answer => ({
  type: 'CAA',
  name,
  data: { flags: 0, tag: tag as 'iodef', value },
});
const failed = { code: 'dns-failed' };

describe('TXT records', () => {
  it('are joined from their strings', async () => {
    const dns = await zone(({ name }) => [txt(name, ['proof=', 'abc']), txt(name, 'v=spf1 -all')]);
    const texts = await client(dns).txt('_mecai.example.org');
    expect(texts.toSorted()).toEqual(['proof=abc', 'v=spf1 -all']);
    expect(dns.asked).toEqual(['TXT _mecai.example.org']);
  });

  it.each(['nxdomain', [], [{ type: 'CNAME', name: 'a.example', data: 'b.example' }]] as DnsReply[])(
    'that are not there are no error: %o',
    async (reply) => {
      expect(await client(await zone(() => reply)).txt('a.example')).toEqual([]);
    },
  );

  it('count only if every resolver sees them', async () => {
    const honest = await zone(({ name }) => [txt(name, 'real')]);
    const lied = await zone(({ name }) => [txt(name, 'real'), txt(name, 'forged')]);
    expect(await client(lied, honest).txt('example.org')).toEqual(['real']);
    honest.zone = () => 'nxdomain';
    expect(await client(lied, honest).txt('example.org')).toEqual([]);
    honest.zone = () => 'servfail';
    await expect(client(lied, honest).txt('example.org')).rejects.toMatchObject(failed);
  });

  it('come over TCP where UDP is too short for them', async () => {
    const long = Array.from({ length: 30 }, (_, i) => `${i} ${'x'.repeat(240)}`);
    const dns = await zone(({ name }) => long.map((text) => txt(name, text)));
    expect((await client(dns).txt('example.org')).toSorted()).toEqual(long.toSorted());
    expect(dns.asked).toHaveLength(2);
  });

  it.each<[string, () => DnsReply]>([
    ['SERVFAIL', () => 'servfail'],
    ['silence', () => 'silence'],
    ['more records than are read', () => Array.from({ length: 101 }, (_, i) => txt('example.org', `${i}`))],
    ['rubbish', () => Buffer.from('8180ffffffffffffffff00', 'hex')],
  ])('are not known after %s', async (_, reply) => {
    const dns = await zone(reply);
    const asking = dnsClient({ resolvers: [dns.address], timeoutMs: 200 }).txt('example.org');
    await expect(asking).rejects.toMatchObject(failed);
  });

  it('of what cannot be a name are not there', async () => {
    const dns = await zone(() => []);
    expect(await client(dns).txt(`${'a'.repeat(64)}.example`)).toEqual([]);
    expect(await client(dns).txt('a..example')).toEqual([]);
  });
});

describe('CAA records', () => {
  const has = (records: Record<string, Answer[]>) => zone(({ name }) => records[name] ?? 'nxdomain');

  it('are those of the closest name that has any', async () => {
    const dns = await has({
      'example.org': [caa('example.org', 'iodef', 'mailto:security@example.org')],
      'closed.example.org': [caa('closed.example.org', 'issue', ';')],
    });
    const asked = client(dns);
    expect(iodefUrls(await relevantCaa(asked, '*.a.b.example.org'))).toEqual(['mailto:security@example.org']);
    expect(dns.asked).toEqual(['CAA a.b.example.org', 'CAA b.example.org', 'CAA example.org']);
    // RFC 8659 section 3: a record set without iodef ends the climb all the same.
    expect(iodefUrls(await relevantCaa(asked, 'www.closed.example.org'))).toEqual([]);
    expect(await relevantCaa(asked, 'www.example.net')).toEqual([]);
    expect(dns.asked.slice(-3)).toEqual(['CAA www.example.net', 'CAA example.net', 'CAA net']);
  });

  it('have tags in any case, any number of iodefs, and odd values as they are', async () => {
    const values = ['mailto:a@example.org', 'https://r.example/x?y', 'gopher://odd', '\r\nBcc: x@y'];
    const dns = await has({
      'example.org': [
        caa('example.org', 'IODEF', values[0]!),
        caa('example.org', 'critical', 'x'),
        ...values.slice(1).map((value) => caa('example.org', 'iodef', value)),
      ],
    });
    expect(iodefUrls(await client(dns).caa('example.org')).toSorted()).toEqual(values.toSorted());
  });

  it('that cannot be had at one name leave the whole unknown', async () => {
    const dns = await zone(({ name }) => (name === 'example.org' ? 'servfail' : []));
    await expect(relevantCaa(client(dns), 'www.example.org')).rejects.toMatchObject(failed);
  });

  it('with an empty value are a malformed answer', async () => {
    const dns = await has({ 'example.org': [caa('example.org', 'iodef', '')] });
    await expect(client(dns).caa('example.org')).rejects.toMatchObject(failed);
  });

  it('of a loop of aliases are not known, and the asking ends', async () => {
    const dns = await zone(({ name }) => [
      { type: 'CNAME', name, data: 'b.example' },
      { type: 'CNAME', name: 'b.example', data: name },
    ]);
    expect(await relevantCaa(client(dns), 'a.example')).toEqual([]);
  });
});

it('addresses of both families', async () => {
  const dns = await zone(({ type, name }) => {
    if (type === 'A') return [{ type, name, data: '192.0.2.1' }];
    return type === 'AAAA' ? [{ type, name, data: '2001:db8::1' }] : [];
  });
  expect(await client(dns).addresses('host.example')).toEqual(['192.0.2.1', '2001:db8::1']);
});

it('hostile answers never do worse than fail', async () => {
  const dns = await zone(() => []);
  const asking = dnsClient({ resolvers: [dns.address], timeoutMs: 50 });
  const header = fc.constantFrom('81800001000100000000', '818000010fff00000000', '83800001000000000000');
  const property = fc.asyncProperty(header, fc.uint8Array({ maxLength: 300 }), async (start, body) => {
    // The question comes back first, or else nothing after it is looked at.
    const question = Buffer.from('016107657861', 'hex');
    dns.zone = () => Buffer.concat([Buffer.from(start, 'hex'), question, body]);
    await asking.caa('a.exa').catch((error: unknown) => expect(error).toMatchObject(failed));
  });
  await fc.assert(property, { numRuns: 30 });
});
