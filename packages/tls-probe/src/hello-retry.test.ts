import { createHash } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { extensionTypes } from './extensions.ts';
import { message } from './handshake-messages.ts';
import type { Handshake } from './handshake.ts';
import { groups } from './key-exchange.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { TestCertificates } from './testing/certificates.ts';
import {
  helloRetryRequest,
  readClientHello,
  type Script,
  serverFlight,
  vector16,
} from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();

const certificates = new TestCertificates();
afterAll(() => certificates.remove());
const leaf = certificates.issue('leaf', 'p256');
const base: Script = { chain: [leaf.der], key: leaf.key };

describe('HelloRetryRequest', () => {
  const retry = (handshake: Handshake, group?: number, cookie?: Buffer) => {
    const hello = readClientHello(handshake.takeFlight()!);
    const request = helloRetryRequest(hello, 0x1301, group, cookie);
    handshake.receive(plainRecord(contentTypes.handshake, request));
    return { hello, request };
  };

  it('is answered with the group and the cookie asked for, all else unchanged', () => {
    const handshake = startHandshake();
    const { hello } = retry(handshake, groups.secp384r1, Buffer.from('a cookie'));
    const flight = handshake.takeFlight()!;
    expect(flight.subarray(0, 6)).toEqual(Buffer.from([20, 3, 3, 0, 1, 1]));
    const again = readClientHello(flight.subarray(6));
    expect(again.random).toEqual(hello.random);
    expect(again.sessionId).toEqual(hello.sessionId);
    expect(again.suites).toEqual(hello.suites);
    expect(again.extensions.get(extensionTypes.cookie)).toEqual(vector16(Buffer.from('a cookie')));
    expect(again.extensions.get(extensionTypes.keyShare)!.readUInt16BE(2)).toBe(groups.secp384r1);
    const same = (type: number) => type !== extensionTypes.keyShare && type !== extensionTypes.padding;
    for (const type of hello.order.filter(same)) {
      expect(again.extensions.get(type)).toEqual(hello.extensions.get(type));
    }
  });

  it('with a cookie alone leads to a handshake that verifies', () => {
    const handshake = startHandshake();
    const first = readClientHello(handshake.takeFlight()!);
    const request = helloRetryRequest(first, 0x1301, undefined, Buffer.from('again'));
    handshake.receive(plainRecord(contentTypes.handshake, request));
    const second = handshake.takeFlight()!.subarray(6);
    // struct { HandshakeType message_hash = 254; uint24 length = 32; opaque hash[32]; }
    const hashed = message(254, sha256(first.whole));
    handshake.receive(serverFlight(base, second, [hashed, request]));
    expect(handshake.finished).toBe(true);
  });

  it('may not come twice', () => {
    const handshake = startHandshake();
    retry(handshake, groups.secp256r1);
    const request = helloRetryRequest(
      readClientHello(handshake.takeFlight()!.subarray(6)),
      0x1301,
      groups.secp384r1,
    );
    expect(() => handshake.receive(plainRecord(contentTypes.handshake, request))).toThrow(
      'a second HelloRetryRequest',
    );
  });

  it.each([
    ['nothing new', undefined, undefined, 'changes nothing'],
    ['the group already sent', groups.x25519, undefined, 'HelloRetryRequest for group'],
    ['a group not offered', 0x0100, undefined, 'HelloRetryRequest for group'],
    ['a cookie beyond reason', undefined, Buffer.alloc(10_000), 'a cookie of'],
  ])('may not ask for %s', (_, group, cookie, complaint) => {
    expect(() => retry(startHandshake(), group, cookie)).toThrow(complaint);
  });

  it('may not be followed by another suite', () => {
    const handshake = startHandshake();
    const first = readClientHello(handshake.takeFlight()!);
    const request = helloRetryRequest(first, 0x1301, undefined, Buffer.from('again'));
    handshake.receive(plainRecord(contentTypes.handshake, request));
    const second = handshake.takeFlight()!.subarray(6);
    expect(() => handshake.receive(serverFlight({ ...base, suite: 0x1303 }, second))).toThrow(
      'does not keep to',
    );
  });
});
