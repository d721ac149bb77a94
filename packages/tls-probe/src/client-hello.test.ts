import { describe, expect, it } from 'vitest';
import { cipherSuites } from './cipher-suites.ts';
import { extensionTypes } from './extensions.ts';
import { groups, offeredGroups } from './key-exchange.ts';
import type { KeyType } from './prober.ts';
import { signatureSchemes } from './signature-schemes.ts';
import { readClientHello } from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

const hello = (changes: Partial<Parameters<typeof offer>[0]> = {}) =>
  startHandshake({ offer: offer(changes) }).takeFlight()!;
const offer = (changes: {
  serverName?: string;
  keyType?: KeyType;
  alpn?: string[];
  extensions?: number[];
}) => ({
  serverName: undefined,
  keyType: 'any' as const,
  alpn: [],
  extensions: [],
  ...changes,
});

const numbers = (list: Buffer): number[] =>
  Array.from({ length: (list.length - 2) / 2 }, (_, at) => list.readUInt16BE(2 + at * 2));

describe('ClientHello', () => {
  it('is one record of version 3.1, as old servers want the first one to be', () => {
    const record = hello();
    expect([...record.subarray(0, 3)]).toEqual([22, 3, 1]);
    expect(record.length).toBe(5 + record.readUInt16BE(3));
  });

  it('offers both versions, all suites and groups, one share', () => {
    const { extensions, suites, sessionId } = readClientHello(hello());
    expect(suites).toEqual(cipherSuites.map(({ id }) => id));
    expect(sessionId.length).toBe(32);
    expect(extensions.get(extensionTypes.supportedVersions)!.toString('hex')).toBe('0403040303');
    expect(numbers(extensions.get(extensionTypes.supportedGroups)!)).toEqual(offeredGroups);
    const share = extensions.get(extensionTypes.keyShare)!;
    expect([share.readUInt16BE(0), share.readUInt16BE(2), share.length]).toEqual([36, groups.x25519, 38]);
    expect(numbers(extensions.get(extensionTypes.signatureAlgorithms)!)).toEqual(
      signatureSchemes.map(({ id }) => id),
    );
    expect(extensions.has(extensionTypes.signatureAlgorithmsCert)).toBe(false);
  });

  it.each([
    ['rsa', [0x0804, 0x0401, 0x0805, 0x0501, 0x0806, 0x0601, 0x0809, 0x080a, 0x080b, 0x0201], 0xc02b],
    ['ecdsa', [0x0403, 0x0503, 0x0603, 0x0203], 0xc02f],
  ] as const)(
    'for an %s certificate offers its algorithms only, but any in the chain',
    (keyType, schemes, left) => {
      const { extensions, suites } = readClientHello(hello({ keyType }));
      expect(numbers(extensions.get(extensionTypes.signatureAlgorithms)!)).toEqual(schemes);
      expect(numbers(extensions.get(extensionTypes.signatureAlgorithmsCert)!)).toHaveLength(
        signatureSchemes.length,
      );
      expect(suites).not.toContain(left);
      expect(suites.slice(0, 3)).toEqual([0x1301, 0x1302, 0x1303]);
    },
  );

  it('sends a name, protocols and private extensions when asked to, and not otherwise', () => {
    const bare = readClientHello(hello());
    for (const type of [extensionTypes.serverName, extensionTypes.alpn, 64_000]) {
      expect(bare.extensions.has(type)).toBe(false);
    }
    const asked = { serverName: 'shop.example', alpn: ['h2', 'http/1.1'], extensions: [64_000] };
    const { extensions } = readClientHello(hello(asked));
    expect(extensions.get(extensionTypes.serverName)!.toString('latin1')).toBe('\0\x0f\0\0\x0cshop.example');
    expect(extensions.get(extensionTypes.alpn)!.toString('latin1')).toBe('\0\x0c\x02h2\x08http/1.1');
    expect(extensions.get(64_000)).toEqual(Buffer.alloc(0));
  });

  it('is never of 256 to 511 bytes, whatever the name', () => {
    for (let size = 1; size < 256; size++) {
      const record = hello({ serverName: 'x'.repeat(size), keyType: 'ecdsa' });
      expect(record.length - 5 < 256 || record.length - 5 >= 512, `name of ${size}`).toBe(true);
    }
  });

  it('differs in random and session id each time', () => {
    const handshakes = [startHandshake({ random: (size) => Buffer.alloc(size, 1) }), startHandshake()];
    const [first, second] = handshakes.map((handshake) => readClientHello(handshake.takeFlight()!));
    expect(first!.random).not.toEqual(second!.random);
    expect(first!.random).not.toEqual(second!.sessionId);
  });
});
