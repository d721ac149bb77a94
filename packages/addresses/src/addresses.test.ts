import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AddressError,
  contains,
  distanceKm,
  forbiddenTarget,
  formatAddress,
  parseAddress,
  parsePrefix,
  truncate,
} from './index.ts';

const forbidden = (text: string, ...allowed: string[]) =>
  forbiddenTarget(parseAddress(text), allowed.map(parsePrefix));

describe('addresses', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6'],
    ['2001:db8:0:2:3:4:5:6', '2001:db8:0:2:3:4:5:6'],
  ])('%s is written %s', (text, canonical) => {
    expect(formatAddress(parseAddress(text))).toBe(canonical);
  });

  it.each([
    '127.1',
    '0x7f.0.0.1',
    '2130706433',
    '0177.0.0.1',
    '1.2.3.4 ',
    'fe80::1%eth0',
    '[::1]',
    '::ffff:1.2.3',
    '',
    'example.com',
  ])('%s is refused as an address', (text) => {
    expect(() => parseAddress(text)).toThrow(AddressError);
  });

  it('writes any 16 octets so that they read back the same', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.nat(8),
        fc.nat(8),
        (bytes, from, length) => {
          bytes.fill(0, from * 2, (from + length) * 2);
          const text = formatAddress(bytes);
          expect(isIPv6(text)).toBe(true);
          expect(parseAddress(text)).toEqual(bytes);
        },
      ),
    );
  });

  it.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.1/8', '::/129', '10.0.0.0/08', 'x/8'])(
    '%s is no prefix',
    (text) => {
      expect(() => parsePrefix(text)).toThrow(AddressError);
    },
  );

  it('contains by bits, for any prefix length', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.integer({ min: 0, max: 128 }),
        (bytes, length) => {
          const prefix = { address: truncate(bytes, length), length };
          expect(contains(prefix, bytes)).toBe(true);
          if (length === 0) return;
          const flipped = Uint8Array.from(bytes);
          flipped[(length - 1) >> 3]! ^= 0x80 >> ((length - 1) & 7);
          expect(contains(prefix, flipped)).toBe(false);
        },
      ),
    );
  });
});

describe('special-purpose ranges', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '172.31.255.255',
    '192.0.0.9',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.0.1',
    '198.18.0.1',
    '198.19.255.255',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:8.8.8.8',
    '::8.8.8.8',
    '64:ff9b::808:808',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2001:10::1',
    '2002:a00:1::1',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '4000::1',
    '2a00:1450::5efe:a00:1',
    '2a00:1450::200:5efe:a00:1',
  ])('%s may not be probed', (text) => {
    expect(forbidden(text)).toMatch(/ is /);
  });

  it.each([
    '8.8.8.8',
    '100.128.0.1',
    '172.32.0.1',
    '192.0.1.1',
    '198.20.0.1',
    '223.255.255.255',
    '2a00:1450::1',
    '2001:4860::1',
    '2600::1',
  ])('%s may be probed', (text) => {
    expect(forbidden(text)).toBeUndefined();
  });

  it('an allow-list opens just its ranges', () => {
    expect(forbidden('127.0.0.10', '127.0.0.0/24')).toBeUndefined();
    expect(forbidden('127.0.1.10', '127.0.0.0/24')).toContain('loopback');
    expect(forbidden('::ffff:127.0.0.10', '127.0.0.0/24')).toContain('IPv4-mapped');
  });
});

describe('distance', () => {
  // Great-circle figures as published for the airports LHR, JFK, SIN.
  it.each([
    [{ latitude: 51.47, longitude: -0.4543 }, { latitude: 40.6413, longitude: -73.7781 }, 5540],
    [{ latitude: 51.47, longitude: -0.4543 }, { latitude: 1.3644, longitude: 103.9915 }, 10_880],
    [{ latitude: 0, longitude: 179.5 }, { latitude: 0, longitude: -179.5 }, 111.2],
  ])('%o to %o is about %i km', (a, b, km) => {
    expect(Math.abs(distanceKm(a, b) - km)).toBeLessThan(km * 0.005);
    expect(distanceKm(a, a)).toBe(0);
  });
});
