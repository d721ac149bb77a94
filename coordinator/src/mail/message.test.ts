import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyOf } from '@mecai/pki/testing';
import { identityPem, rsaKey, testIdentity } from '../testing/identity.ts';
import { verifiedByOpenssl } from '../testing/openssl-mail.ts';
import { readIdentity } from './identity.ts';
import { type Mail, signedMail } from './message.ts';

const from = 'notices@va.example';
const identity = testIdentity(from);
const mail: Mail = {
  id: '0123456789abcdef0123456789abcdef',
  from,
  to: 'owner@example.org',
  subject: 'certificate for www.example.org: 00ff',
  text: 'Hello.\n',
  date: new Date('2026-11-22T12:00:00Z'),
};
const headersOf = (message: Buffer) => {
  const text = message.toString('latin1');
  const lines = text
    .slice(0, text.indexOf('\r\n\r\n'))
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  return lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(': ') + 2)]);
};
/** The text that a reader of the verified entity sees. */
const textOf = (entity: Buffer) => {
  const [, ...body] = entity.toString('latin1').split('\r\n\r\n');
  const bytes = body
    .join('\r\n\r\n')
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
};

describe('a signed mail', () => {
  it.each(['cms', 'smime'] as const)(
    'is verified by openssl %s, with a P-256 and with an RSA key',
    (command) => {
      for (const key of [keyOf('mail'), rsaKey()]) {
        const message = signedMail(mail, testIdentity(from, key));
        expect(textOf(verifiedByOpenssl(message, command))).toBe('Hello.\r\n');
      }
    },
  );

  it('that was changed is not', () => {
    const message = signedMail(mail, identity).toString('latin1');
    expect(() => verifiedByOpenssl(Buffer.from(message.replace('Hello', 'Hullo'), 'latin1'))).toThrow(
      /verification failure/,
    );
  });

  it('has the headers that mail readers and filters need', () => {
    const long = `certificate for ${'a'.repeat(60)}.example.org: ${'0'.repeat(64)}`;
    const message = signedMail({ ...mail, subject: long, replyTo: 'people@va.example' }, identity);
    expect(headersOf(message)).toEqual([
      ['From', from],
      ['To', 'owner@example.org'],
      ['Reply-To', 'people@va.example'],
      ['Subject', long],
      ['Date', 'Sun, 22 Nov 2026 12:00:00 +0000'],
      ['Message-ID', '<0123456789abcdef0123456789abcdef@va.example>'],
      ['Auto-Submitted', 'auto-generated'],
      ['MIME-Version', '1.0'],
      [
        'Content-Type',
        'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="=_0123456789abcdef0123456789abcdef"',
      ],
    ]);
  });

  it('to a subscriber can be answered with one click', () => {
    const url = 'https://va.example/unsubscribe/0123';
    const headers = Object.fromEntries(headersOf(signedMail({ ...mail, unsubscribeUrl: url }, identity)));
    expect(headers).toMatchObject({
      'List-Unsubscribe': `<${url}>`,
      'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
    });
  });

  it.each([
    ['lines that mailboxes and SMTP change', 'From here\n.\n..\n>From\ntrailing  \n\t\n--\n'],
    ['a line without end', 'x'.repeat(5_000)],
    ['any script', 'münchen.example 公司 نامه 💩\n'],
    ['something like the boundary', `--=_${mail.id}--\n=_\n`],
    ['other line ends', 'a\r\nb\rc\n'],
    ['nothing', ''],
  ])('carries %s', (_, text) => {
    const message = signedMail({ ...mail, text }, identity);
    expect(textOf(verifiedByOpenssl(message))).toBe(text.replace(/\r\n?|\n/g, '\r\n'));
    const lines = message.toString('latin1').split('\r\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(78);
    expect(lines.some((line) => line.startsWith('From '))).toBe(false);
  });

  it('has the headers we give it and no others, whatever is in subject and text', () => {
    const expected = headersOf(signedMail(mail, identity)).map(([name]) => name);
    const hostile = fc.string({
      unit: fc.oneof(
        fc.constantFrom('\r\n', '\n', '\r', 'Bcc: x@y', ':', ' ', '\t', '\0', '\u2028', '-'),
        fc.string(),
      ),
      maxLength: 200,
    });
    fc.assert(
      fc.property(hostile, hostile, (subject, text) => {
        const message = signedMail({ ...mail, subject: `x${subject}`, text }, identity);
        expect(headersOf(message).map(([name]) => name)).toEqual(expected);
        // 7-bit, and CR and LF only together.
        const plain = message.toString('latin1').replaceAll('\r\n', '');
        expect(/^[\t\x20-\x7e]*$/.test(plain)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe('the identity', () => {
  const good = identityPem(from);
  it.each([
    ['no certificate', '', good.key, from, 'no certificate'],
    ['another key', good.certificate, identityPem(from, rsaKey()).key, from, 'not that of the first'],
    ['a key that is none', good.certificate, 'key', from, 'notice.identity'],
    ['another sender', good.certificate, good.key, 'other@va.example', 'not for other@va.example'],
  ])('is refused with %s', (_, certificate, key, sender, message) => {
    expect(() => readIdentity(certificate, key, sender)).toThrow(message);
  });
});
