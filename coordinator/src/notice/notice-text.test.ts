import { parseCertificate } from '@mecai/pki';
import { commonName, dnsName, ext, issue, keyOf } from '@mecai/pki/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signedMail } from '../mail/message.ts';
import { testIdentity } from '../testing/identity.ts';
import { testNotice } from '../testing/notice.ts';
import { verifiedByOpenssl } from '../testing/openssl-mail.ts';
import { asciiName, isDnsName, unicodeName } from './names.ts';
import { noticeSubject, noticeText } from './notice-text.ts';
import { type Notice, decodeNotice, noticeNames } from './notice.ts';

const publicUrl = 'https://va.test';
const identity = testIdentity('notices@va.test');

/** A certificate whose subject, issuer and names are anything at all. */
function withNames(names: readonly string[], subject = 'x', issuer = 'y'): Notice {
  const { der } = issue({
    subject: commonName(subject),
    issuerName: commonName(issuer),
    key: keyOf('any'),
    extensions: [ext.subjectAltName(names.map(dnsName))],
  });
  return { ...testNotice(['unused.example']), chain: [der] };
}
const mailOf = (notice: Notice) =>
  signedMail(
    {
      id: '0'.repeat(32),
      from: 'notices@va.test',
      to: 'owner@example.org',
      subject: noticeSubject(notice),
      text: noticeText(notice, publicUrl),
      date: new Date(0),
    },
    identity,
  );
/** Header names, up to the first empty line. */
const headersOf = (mail: Buffer) => {
  const [head = ''] = mail.toString('latin1').split('\r\n\r\n', 1);
  return head
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
    .map((line) => line.replace(/:.*/, ''));
};
const expectedHeaders = [
  'From',
  'To',
  'Subject',
  'Date',
  'Message-ID',
  'Auto-Submitted',
  'MIME-Version',
  'Content-Type',
];

describe('a certificate’s fields', () => {
  it.each<[string, string[], string, string]>([
    ['line breaks', ['www.example.org\r\nBcc: victim@example.net', 'a\nb'], 'x\r\nBcc: v@x', 'y\r\n\r\nbody'],
    ['a name that is a boundary', [`--=_${'0'.repeat(32)}`], '', ''],
    ['characters that turn text around', ['a\u007fb'], 'gro.elpmaxe\u202e', '\u2066x\u2069'],
    ['no name', [], '', ''],
    ['an empty name', [''], '', ''],
    ['a name of 60,000 octets', ['a'.repeat(60_000)], 'x'.repeat(60_000), 'y'],
  ])('with %s make no broken mail', (_, names, subject, issuer) => {
    const mail = mailOf(withNames(names, subject, issuer));
    expect(headersOf(mail)).toEqual(expectedHeaders);
    const text = verifiedByOpenssl(mail).toString('latin1');
    expect(text).toContain('BEGIN CERTIFICATE');
    expect(text).not.toMatch(/^Bcc/m);
  });

  it('of any kind make no broken mail', () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom('\r\n', '\n', ':', '.', '-', '\0'), fc.string()),
    });
    // A dNSName is an IA5String.
    const name = text.map((one) =>
      Buffer.from(one)
        .toString('latin1')
        .replace(/[\x80-\xff]/g, '?'),
    );
    fc.assert(
      fc.property(fc.array(name, { maxLength: 5 }), text, text, (names, subject, issuer) => {
        expect(headersOf(mailOf(withNames(names, subject, issuer)))).toEqual(expectedHeaders);
      }),
      { numRuns: 100 },
    );
  });

  it('2,000 names are counted, fifty of them written out, all of them looked up', () => {
    const names = Array.from({ length: 2_000 }, (_, i) => `host-${i}.example.org`);
    const notice = withNames(names);
    const text = noticeText(notice, publicUrl);
    expect(text).toContain('names        2000:');
    expect(text).toContain('and 1950 more, all of them in the certificate below');
    expect(text.split('-----BEGIN')[0]!.length).toBeLessThan(6_000);
    expect(noticeNames(notice)).toHaveLength(2_000);
    verifiedByOpenssl(mailOf(notice));
  });

  it('names in foreign scripts stand there as they are asked for, and as they are read', () => {
    const notice = withNames(['xn--mnchen-3ya.example', '*.xn--55qx5d.xn--j6w193g', 'xn--zckzah.example']);
    expect(noticeSubject(notice)).toMatch(/^certificate for xn--mnchen-3ya\.example: [0-9a-f]{64}$/);
    const text = noticeText(notice, publicUrl);
    expect(text).toContain('  xn--mnchen-3ya.example  in its own script: münchen.example\n');
    expect(text).toContain('  *.xn--55qx5d.xn--j6w193g  in its own script: *.公司.香港\n');
    expect(verifiedByOpenssl(mailOf(notice)).toString()).toContain('m=C3=BCnchen');
  });
});

describe('a name in its own script', () => {
  it.each<[string, string | undefined]>([
    ['xn--mnchen-3ya.example', 'münchen.example'],
    ['a_b.xn--mnchen-3ya.example', 'a_b.münchen.example'],
    ['www.example.org', undefined],
    // Not valid Punycode.
    ['xn--0.example', undefined],
    // A Latin "l" and "e" among Cyrillic letters.
    ['xn--pple-43d.com', undefined],
    // A pile of poo.
    ['xn--ls8h.la', undefined],
    // A zero-width joiner.
    ['xn--mgba3gch31f060k.com', undefined],
  ])('%s', (name, shown) => expect(unicodeName(name)).toBe(shown));

  it('is at most letters, marks and digits', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        const shown = unicodeName(`xn--${text}.example`);
        if (shown !== undefined) expect(shown).toMatch(/^[\p{L}\p{M}\p{Nd}_.-]+$/u);
      }),
    );
  });
});

it('names that DNS can be asked about', () => {
  const good = ['a.b', '_mecai.example.org', `${'a'.repeat(63)}.org`, 'xn--mnchen-3ya.example'];
  expect(good.filter(isDnsName)).toEqual(good);
  const bad = [
    '',
    'org',
    '.org',
    'a..b',
    'A.org',
    'a.org.',
    '*.a.org',
    'a b.org',
    `${'a'.repeat(64)}.org`,
    '-a.org',
  ];
  expect(bad.filter(isDnsName)).toEqual([]);
  expect(asciiName('a\r\nb ü')).toBe('a??b??');
});

it('says what is different about a known certificate, and about one that is not held', () => {
  const { holdUntil: _, ...free } = testNotice(['www.example.org']);
  expect(noticeText(free, publicUrl)).toContain('It is not on hold');
  expect(noticeText({ ...free, kind: 'unexpected-address' }, publicUrl)).toContain(
    'has seen a certificate that it knows\nwhere it has not seen it before',
  );
  expect(parseCertificate(free.chain[0]!).version).toBe(3);
  expect(() => decodeNotice('{}')).toThrow(TypeError);
});
