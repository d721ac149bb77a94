import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnswerReader } from './http-answer.ts';

const read = (text: string | Buffer, pieces = 1) => {
  const bytes = Buffer.from(text);
  const reader = new AnswerReader(1_000);
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  for (let at = 0; at < bytes.length; at += size) {
    const answer = reader.push(bytes.subarray(at, at + size));
    if (answer !== undefined) return answer;
  }
  return undefined;
};
const ok = 'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello';

test('an answer, in as many pieces as it may come', () => {
  for (const pieces of [1, 2, 7, ok.length]) {
    const answer = read(ok, pieces);
    expect(answer).toMatchObject({ status: 200, reusable: true });
    expect(Buffer.from((answer as { body: Uint8Array }).body).toString()).toBe('hello');
  }
  expect(read(ok.slice(0, -1))).toBeUndefined();
  expect(read(ok.replace('200 OK', '404 Not Found'))).toMatchObject({ status: 404 });
});

test.each([
  ['more behind it', `${ok}x`, false],
  ['that closes', ok.replace('Server: x', 'Connection: close'), false],
  ['that closes, among other things', ok.replace('Server: x', 'Connection: x , Close'), false],
  ['of HTTP/1.0', ok.replace('1.1', '1.0'), false],
  [
    'of HTTP/1.0 that keeps open',
    ok.replace('1.1', '1.0').replace('Server: x', 'Connection: Keep-Alive'),
    true,
  ],
])('an answer with %s', (_, text, reusable) => {
  expect(read(text)).toMatchObject({ status: 200, reusable });
});

describe('what is not read', () => {
  test.each([
    ['no length', ok.replace('Content-Length: 5\r\n', '')],
    ['two lengths', ok.replace('Server: x', 'content-length: 4')],
    ['a length that is no number', ok.replace(': 5', ': +5')],
    ['a list of lengths', ok.replace(': 5', ': 5, 5')],
    ['more than is wanted', ok.replace(': 5', ': 1001')],
    ['chunks', ok.replace('Server: x', 'Transfer-Encoding: chunked')],
    ['a folded field', ok.replace('Server: x', 'Server: x\r\n y')],
    ['a space before the colon', ok.replace('Server: x', 'Server : x')],
    ['HTTP/2', ok.replace('HTTP/1.1', 'HTTP/2')],
    ['an interim answer', ok.replace('200 OK', '103 Early Hints')],
    ['another protocol', '220 mail.example ESMTP\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(5_000)}`],
  ])('%s', (_, text) => expect(read(text)).toBe('unreadable'));

  test('any octets, in any pieces, with any octet of an answer changed: never an exception', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(ok.length - 1),
        fc.nat(255),
        fc.nat(20),
        (bytes, at, octet, pieces) => {
          read(Buffer.from(bytes), pieces + 1);
          const changed = Buffer.from(ok);
          changed[at] = octet;
          const answer = read(changed, pieces + 1);
          if (typeof answer === 'object') expect(answer.body.length).toBeLessThanOrEqual(1_000);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
