import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { der, DerReader, PkiError } from './index.ts';

const bigArc = fc.bigInt({ min: 0n, max: (1n << 130n) - 1n });
const dotted = fc
  .tuple(
    fc.constantFrom(0n, 1n, 2n),
    fc.bigInt({ min: 0n, max: 39n }),
    bigArc,
    fc.array(fc.oneof(bigArc, fc.bigInt({ min: 0n, max: 300n })), { maxLength: 2 }),
  )
  .map(([first, small, large, rest]) => [first, first === 2n ? large : small, ...rest].join('.'));

describe('an OBJECT IDENTIFIER', () => {
  it('comes back as written, arcs of any size', () => {
    fc.assert(fc.property(dotted, (text) => new DerReader(der.oid(text)).oid() === text));
  });

  it.each([[[]], [[0x80, 1]], [[0x2a, 0x80, 1]], [[0x2a, 0x86]]])('is refused as %j', (content) => {
    expect(() => new DerReader(der.tlv(6, Uint8Array.from(content))).oid()).toThrow(PkiError);
  });
});

describe('the reader', () => {
  it.each([
    ['an indefinite length', [0x30, 0x80, 0, 0]],
    ['a long form where the short would do', [0x30, 0x81, 1, 0]],
    ['a length beyond the end', [0x30, 5, 0]],
    ['a high tag number', [0x1f, 0x20, 0]],
    ['nothing', []],
  ])('refuses %s', (_, bytes) => {
    expect(() => new DerReader(Uint8Array.from(bytes)).raw()).toThrow(PkiError);
  });

  it.each([
    '20260230000000Z',
    '20261301000000Z',
    '20260001000000Z',
    '20260228240000Z',
    '20260228006000Z',
    '20260228000060Z',
    '20260228000000z',
    '2026022800000Z',
    '20260228000000.5Z',
    '202602280000 0Z',
    '260230000000Z',
    '2602280000Z',
    '26022800000:Z',
    '260228000000+',
  ])('refuses %s, which no calendar has', (text) => {
    const tag = text.length > 13 ? 0x18 : 0x17;
    expect(() => new DerReader(der.tlv(tag, Buffer.from(text))).time()).toThrow(PkiError);
  });

  it('reads the times that are there', () => {
    const date = (min: string, max: string) =>
      fc.date({ min: new Date(min), max: new Date(max), noInvalidDate: true });
    const digits = (time: Date) => time.toISOString().replace(/[-:T]|\.\d+/g, '');
    const back = (tag: number, text: string) => digits(new DerReader(der.tlv(tag, Buffer.from(text))).time());
    fc.assert(
      fc.property(date('1950-01-01', '2049-12-31T23:59:59Z'), (time) => {
        expect(back(0x17, digits(time).slice(2))).toBe(digits(time));
      }),
    );
    fc.assert(
      fc.property(date('0000-01-01', '9999-12-31T23:59:59Z'), (time) => {
        expect(back(0x18, digits(time))).toBe(digits(time));
      }),
    );
  });

  it('throws nothing but PkiError, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom('oid', 'time', 'integer', 'bits', 'boolean', 'utf8String', 'raw'),
        (bytes, method) => {
          try {
            new DerReader(bytes)[method]();
          } catch (error) {
            expect(error).toBeInstanceOf(PkiError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('the writer', () => {
  it('has UTF-8 as the platform has it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme-ascii' }), (any, ascii) => {
        for (const text of [any, ascii]) expect(der.utf8(text)).toEqual(new TextEncoder().encode(text));
      }),
    );
    expect(der.utf8('Perú')).toEqual(Uint8Array.of(0x50, 0x65, 0x72, 0xc3, 0xba));
    expect(der.utf8('a\uD800')).toEqual(Uint8Array.of(0x61, 0xef, 0xbf, 0xbd));
  });

  it('leaves what it made before as it was, though values share memory', () => {
    const contents = fc.array(fc.nat({ max: 5000 }), { minLength: 20, maxLength: 60 });
    fc.assert(
      fc.property(contents, (lengths) => {
        const made = lengths.map((length, i) => der.octetString(new Uint8Array(length).fill(i + 1)));
        expect(new Set(made.map(({ buffer }) => buffer)).size).toBeLessThan(made.length);
        for (const [i, value] of made.entries()) {
          const content = new DerReader(value).octetString();
          expect(content.length).toBe(lengths[i]);
          expect(content.every((octet) => octet === i + 1)).toBe(true);
        }
      }),
    );
  });
});
