import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { StapleError } from './error.ts';
import { decodeServerInfo, encodeServerInfo } from './serverinfo.ts';

const extension = fc.record({
  type: fc.integer({ min: 0, max: 65_535 }),
  data: fc.uint8Array({ maxLength: 300 }),
});

test('a serverinfo file comes back as it was written, in the order of the types', () => {
  fc.assert(
    fc.property(fc.uniqueArray(extension, { selector: ({ type }) => type, minLength: 1 }), (extensions) => {
      const sorted = extensions.toSorted((a, b) => a.type - b.type);
      expect(decodeServerInfo(encodeServerInfo(extensions))).toEqual(sorted);
    }),
  );
});

test('version 1 files are read, too', () => {
  const body = Buffer.from([0xff, 0x10, 0, 2, 7, 8]).toString('base64');
  const text = `-----BEGIN SERVERINFO FOR x-----\n${body}\n-----END SERVERINFO FOR x-----\n`;
  expect(decodeServerInfo(text)).toEqual([{ type: 0xff10, data: Uint8Array.of(7, 8) }]);
});

const one = encodeServerInfo([{ type: 65_300, data: Uint8Array.of(1, 2, 3) }]);
test.each([
  ['nothing', ''],
  ['another PEM block', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ['a block cut off', one.slice(0, -10)],
  ['a wrong length', one.replace(/\n[A-Za-z0-9+/]/, '\nAAAA')],
  ['a type twice', one + one],
])('%s is none', (_, text) => {
  expect(() => decodeServerInfo(text)).toThrow(StapleError);
});

test('whatever the text is, it is read or refused', () => {
  fc.assert(
    fc.property(fc.nat(one.length), fc.string({ maxLength: 3 }), (at, text) => {
      try {
        decodeServerInfo(one.slice(0, at) + text + one.slice(at));
      } catch (error) {
        expect(error).toBeInstanceOf(StapleError);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a voucher above what OpenSSL sends is refused', () => {
  expect(() => encodeServerInfo([{ type: 1, data: new Uint8Array(65_501) }])).toThrow(
    expect.objectContaining({ code: 'too-large' }),
  );
});
