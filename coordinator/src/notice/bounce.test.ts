import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBounce, returnPath } from './bounce.ts';

const id = '0123456789abcdef0123456789abcdef';
const report = (action: string, to = `bounces+${id}@va.test`) =>
  `From: MAILER-DAEMON@mx.example
To: ${to}
Content-Type: multipart/report; report-type=delivery-status

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Final-Recipient: rfc822; owner@example.org
Action: ${action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1
 no such user
--b
Content-Type: message/rfc822

Action: failed
`;

it('the return path names the delivery', () => {
  expect(returnPath('bounces@va.test', id)).toBe(`bounces+${id}@va.test`);
});

describe('a delivery report', () => {
  it('of a failure is a bounce', () => {
    const detail = 'bounced: 5.1.1 smtp; 550 5.1.1 no such user';
    expect(readBounce(Buffer.from(report('failed')))).toEqual({ id, detail });
    expect(readBounce(Buffer.from(report('Failed').replaceAll('\n', '\r\n')))).toEqual({ id, detail });
  });

  it('may come to an address that only the mail server knows', () => {
    const elsewhere = Buffer.from(report('failed', 'undisclosed'));
    expect(readBounce(elsewhere)).toBeUndefined();
    expect(readBounce(elsewhere, `bounces+${id}@va.test`)).toMatchObject({ id });
  });

  it.each(['delayed', 'relayed', 'delivered', 'expanded', ''])('of something %s is none', (action) => {
    expect(readBounce(Buffer.from(report(action)))).toBeUndefined();
  });

  it('that is an answer of a person is none', () => {
    expect(readBounce(Buffer.from(`To: bounces+${id}@va.test\n\nI am on holiday.\n`))).toBeUndefined();
  });

  it('of any octets is at most none', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => readBounce(bytes) === undefined));
  });
});
