import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseDelivery } from './delivery.ts';

const token = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '9', '-', '_'), minLength: 1, maxLength: 9 });

it('reads the subjects of servers with and without domains', () => {
  fc.assert(
    fc.property(
      fc.tuple(token, token),
      fc.option(fc.tuple(token, token, token)),
      fc.integer({ min: 1, max: 9 }),
      fc.nat(2 ** 45),
      fc.nat(),
      fc.integer({ min: 0, max: Date.UTC(2200, 0) }),
      fc.nat(999_999),
      (names, domain, delivered, sequence, pending, receivedAt, nanoseconds) => {
        const time = BigInt(receivedAt) * 1_000_000n + BigInt(nanoseconds);
        const tokens = [...names, delivered, sequence, 7, time, pending];
        const whole = domain ? [domain[0], domain[1], ...tokens, domain[2]] : tokens;
        const found = parseDelivery(`$JS.ACK.${whole.join('.')}`);
        expect(found).toEqual({ redelivered: delivered > 1, sequence, receivedAt, pending });
      },
    ),
  );
});

it.each(['', '_INBOX.a.1', '$JS.ACK.a.b.1', '$JS.ACK.a.b.1.2.3.4.5.6', '$JS.API.a.b.1.2.3.4.5'])(
  'refuses %s, which is none',
  (reply) => {
    expect(() => parseDelivery(reply)).toThrow(TypeError);
  },
);
