import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  expandLabel,
  finishedMac,
  handshakeSecret,
  hmac,
  masterSecret,
  prf,
  trafficKeys,
  trafficSecret,
} from './key-schedule.ts';

const hex = (text: string) => Buffer.from(text.replace(/\s+/g, ''), 'hex');

test('HMAC is that of OpenSSL, for keys and messages of any size', () => {
  const bytes = fc.uint8Array({ maxLength: 1_100, size: 'max' }).map((array) => Buffer.from(array));
  fc.assert(
    fc.property(fc.constantFrom('sha256' as const, 'sha384' as const), bytes, bytes, (hash, key, data) => {
      expect(hmac(hash, key, data)).toEqual(createHmac(hash, key).update(data).digest());
    }),
    { examples: [64, 65, 128, 129].map((size) => ['sha256', Buffer.alloc(size, 7), Buffer.alloc(960)]) },
  );
});

describe('TLS 1.3 key schedule, values of RFC 8448 section 3', () => {
  const handshake = handshakeSecret(
    'sha256',
    hex('8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d'),
  );
  const hello = hex('860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8');

  it('extracts the handshake secret', () => {
    expect(handshake.toString('hex')).toBe(
      '1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac',
    );
  });

  it('derives both handshake traffic secrets', () => {
    expect(trafficSecret('sha256', handshake, 'c hs traffic', hello).toString('hex')).toBe(
      'b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21',
    );
    expect(trafficSecret('sha256', handshake, 's hs traffic', hello).toString('hex')).toBe(
      'b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38',
    );
  });

  it('extracts the master secret', () => {
    expect(masterSecret('sha256', handshake).toString('hex')).toBe(
      '18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919',
    );
  });

  it("expands the server's key and IV", () => {
    const secret = hex('b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38');
    const { key, iv } = trafficKeys('sha256', secret, 16);
    expect(key.toString('hex')).toBe('3fce516009c21727d0f2e4e86ee403bc');
    expect(iv.toString('hex')).toBe('5d313eb2671276ee13000b30');
  });

  it('expands the finished key', () => {
    const secret = hex('b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38');
    expect(expandLabel('sha256', secret, 'finished', Buffer.alloc(0), 32).toString('hex')).toBe(
      '008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8',
    );
    expect(finishedMac('sha256', secret, Buffer.alloc(32)).length).toBe(32);
  });
});

describe('TLS 1.2 PRF, published test vectors', () => {
  // As circulated on the IETF TLS list when TLS 1.2 was new; every TLS library tests against them.
  it('gives 100 bytes with SHA-256', () => {
    const secret = hex('9bbe436ba940f017b17652849a71db35');
    const seed = hex('a0ba9f936cda311827a6f796ffd5198c');
    expect(prf('sha256', secret, 'test label', seed, 100).toString('hex')).toBe(
      'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a' +
        '6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab' +
        '4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701' +
        '87347b66',
    );
  });

  it('gives 148 bytes with SHA-384', () => {
    const secret = hex('b80b733d6ceefcdc71566ea48e5567df');
    const seed = hex('cd665cf6a8447dd6ff8b27555edb7465');
    expect(prf('sha384', secret, 'test label', seed, 148).toString('hex')).toBe(
      '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd' +
        'e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd' +
        '8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425' +
        '9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6' +
        '91c8f3a26854308d5eaa3be85e0990703d73e56f',
    );
  });
});
