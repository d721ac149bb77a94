import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Interned } from './interned.ts';

const text = (octets: Buffer) => octets.toString('latin1');

it('says of any octets what decoding them says, wherever they are and however few it remembers', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 3 }), fc.nat(5), fc.nat(5)), { maxLength: 200 }),
      fc.integer({ min: 1, max: 20 }),
      (asked, capacity) => {
        const interned = new Interned(text, capacity);
        for (const [octets, before, after] of asked) {
          const message = Buffer.concat([Buffer.alloc(before, 1), octets, Buffer.alloc(after, 2)]);
          expect(interned.get(message, before, before + octets.length)).toBe(text(Buffer.from(octets)));
        }
      },
    ),
  );
});

it('decodes the same octets once, though the message that brought them is gone', () => {
  const interned = new Interned((octets) => ({ octets }), 10);
  const message = Buffer.from('xabc');
  const first = interned.get(message, 1, 4);
  message.fill(0);
  expect(interned.get(Buffer.from('abc'), 0, 3)).toBe(first);
  expect(text(first.octets)).toBe('abc');
});

it('takes octets of one hash for what they are', () => {
  // FNV-1a of both, halved, is 0x7959c838.
  const interned = new Interned(text, 100);
  for (const one of ['qzcmfnde', 'bekikogo', 'qzcmfnde'])
    expect(interned.get(Buffer.from(one), 0, one.length)).toBe(one);
});
