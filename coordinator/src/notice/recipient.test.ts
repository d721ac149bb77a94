import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  iodefRecipients,
  mailAddress,
  mailtoAddresses,
  mediumOf,
  webhookUrl,
  withoutAddresses,
} from './recipient.ts';

describe('a mail address', () => {
  it.each([
    ['a@example.org', 'a@example.org'],
    ['First.Last+tag@Mail.Example.ORG', 'first.last+tag@mail.example.org'],
    ["o'neil~x&y=z#1_a@xn--mnchen-3ya.example", "o'neil~x&y=z#1_a@xn--mnchen-3ya.example"],
    [`${'a'.repeat(64)}@example.org`, `${'a'.repeat(64)}@example.org`],
  ])('is %s', (text, address) => expect(mailAddress(text)).toBe(address));

  it.each([
    '',
    '@',
    'a',
    'a@',
    '@example.org',
    'a@org',
    'a@example.org.',
    '.a@example.org',
    'a.@example.org',
    'a..b@example.org',
    '-a@example.org',
    'a@-example.org',
    'a@example-.org',
    'a@ex_ample.org',
    'a@example.1',
    'a@127.0.0.1',
    'a@[IPv6:::1]',
    'a b@example.org',
    'a@example.org ',
    'a@example.org\n',
    'a@example.org\r\nRCPT TO:<b@c.org>',
    'a\0@example.org',
    '"a b"@example.org',
    'a(comment)@example.org',
    'a,b@example.org',
    'a<b@example.org>',
    '<a@example.org>',
    'a!b@example.org',
    'a%b@example.org',
    'b@c@example.org',
    '|sh@example.org',
    '/dev/null@example.org',
    '`id`@example.org',
    '$(id)@example.org',
    'ä@example.org',
    'a@exämple.org',
    `${'a'.repeat(65)}@example.org`,
    `a@${'a'.repeat(64)}.org`,
    `a@${'a.'.repeat(126)}org`,
  ])('is not %j', (text) => expect(mailAddress(text)).toBeUndefined());

  it('has nothing that ends a command or a header, whatever it is made of', () => {
    const parts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a', '@', '.', 'example.org', '\r\n', '>'),
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 8 }), (some) => {
        const address = mailAddress(some.join(''));
        if (address !== undefined) expect(address).toMatch(/^[a-z0-9._+=&'~#-]{1,64}@[a-z0-9.-]{1,252}$/);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an iodef', () => {
  it.each<[string, string[]]>([
    ['mailto:security@example.org', ['mailto:security@example.org']],
    ['MAILTO:Security@example.org?subject=x&bcc=victim@example.net', ['mailto:security@example.org']],
    ['mailto:a@example.org,b@example.org', ['mailto:a@example.org', 'mailto:b@example.org']],
    ['mailto:%61@example.org', ['mailto:a@example.org']],
    ['mailto:a%0d%0aBcc:b@example.org', []],
    ['mailto:%zz@example.org', []],
    ['mailto:', []],
    ['security@example.org', []],
    ['https://example.org/report?a=b', ['https://example.org/report?a=b']],
    ['http://EXAMPLE.org', ['http://example.org/']],
    ['https://user:password@example.org/', []],
    ['https://example.org/#x', []],
    ['https://127.0.0.1/', []],
    ['https://2130706433/', []],
    ['https://0x7f.1/', []],
    ['https://[::1]/', []],
    ['https://localhost/', []],
    ['https://example.org:99999/', []],
    ['https://exämple.org/', []],
    ['https://example.org/\r\nX: y', []],
    ['ftp://example.org/', []],
    ['file:///etc/passwd', []],
    ['gopher://example.org/', []],
    ['javascript:alert(1)', []],
    ['tel:+49301234567', []],
    ['unix:/run/docker.sock', []],
    [`https://example.org/${'a'.repeat(2_000)}`, []],
    [`mailto:${'a@example.org,'.repeat(1_000)}`, []],
    ['', []],
  ])('%j', (value, recipients) => expect(iodefRecipients(value)).toEqual(recipients));

  it('names five addresses at most', () => {
    const many = Array.from({ length: 20 }, (_, i) => `a${i}@example.org`).join(',');
    expect(mailtoAddresses(`mailto:${many}`)).toHaveLength(5);
  });
});

it('subscribers have https alone', () => {
  expect(webhookUrl('https://example.org/')).toBe('https://example.org/');
  expect(webhookUrl('http://example.org/')).toBeUndefined();
});

it('the medium follows from the scheme', () => {
  expect(['mailto:a@b.org', 'tel:+49', 'https://b.org/'].map(mediumOf)).toEqual(['mail', 'call', 'webhook']);
});

it('an answer of a mail server names nobody in a log, and says the rest', () => {
  expect(withoutAddresses("550 5.1.1 <o'neil+x@example.org>: Recipient address rejected: User unknown")).toBe(
    '550 5.1.1 <…@example.org>: Recipient address rejected: User unknown',
  );
  expect(withoutAddresses('a@b.example,c@d.example')).toBe('…@b.example,…@d.example');
  expect(withoutAddresses('connect ECONNREFUSED 127.0.0.1:25')).toBe('connect ECONNREFUSED 127.0.0.1:25');
});
