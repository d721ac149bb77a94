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

  it('refuses dates that no calendar has', () => {
    expect(() => new DerReader(der.tlv(0x17, Buffer.from('260230000000Z'))).time()).toThrow(PkiError);
    expect(() => new DerReader(der.tlv(0x17, Buffer.from('2602280000Z'))).time()).toThrow(PkiError);
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
