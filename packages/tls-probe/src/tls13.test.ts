/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { createHash } from 'node:crypto';
import { brotliCompressSync, deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { extension, extensionTypes } from './extensions.ts';
import { ProbeFailure } from './failure.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import type { Handshake } from './handshake.ts';
import { groups } from './key-exchange.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { type Issued, TestCertificates } from './testing/certificates.ts';
import {
  certificateMessage,
  helloRetryRequest,
  readClientHello,
  type Script,
  serverFlight,
  vector16,
  vector24,
} from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();

const certificates = new TestCertificates();
let leaf: Issued;
let other: Issued;
let rsa: Issued;
let base: Script;

beforeAll(() => {
  leaf = certificates.issue('leaf', 'p256');
  other = certificates.issue('other', 'p256');
  rsa = certificates.issue('rsa', 'rsa');
  base = { chain: [leaf.der, other.der], key: leaf.key };
});
afterAll(() => certificates.remove());

/** Runs one handshake against a script, in one chunk. */
function run(script: Script, handshake = startHandshake()): Handshake {
  handshake.receive(serverFlight(script, handshake.takeFlight()!));
  return handshake;
}

function failure(script: Script, handshake = startHandshake()): ProbeFailure {
  try {
    run(script, handshake);
  } catch (error) {
    if (error instanceof ProbeFailure) return error;
    throw error;
  }
  throw new Error('the handshake went through');
}

const fails = (code: string, owedAlert?: number) => expect.objectContaining({ code, owedAlert });

describe('TLS 1.3 against a scripted server', () => {
  it('reports the chain byte for byte and proves possession', () => {
    const { seen, finished } = run(base);
    expect(finished).toBe(true);
    expect(seen.possessionProven).toBe(true);
    expect(seen.chain.map((der) => Buffer.from(der))).toEqual([leaf.der, other.der]);
    expect([seen.version, seen.cipherSuite, seen.group, seen.signatureScheme]).toEqual([
      0x0304, 0x1301, 0x001d, 0x0403,
    ]);
  });

  it.each([
    ['AES-256-GCM', 0x1302],
    ['ChaCha20-Poly1305', 0x1303],
  ])('speaks %s', (_, suite) => {
    expect(run({ ...base, suite }).seen.cipherSuite).toBe(suite);
  });

  it.each([1, 2, 7, 100, 16_384])('joins messages cut into records of %i bytes', (fragment) => {
    expect(run({ ...base, fragment }).finished).toBe(true);
  });

  it('takes several messages in one record, and padding', () => {
    expect(run({ ...base, coalesce: true, padding: 300 }).finished).toBe(true);
  });

  it('keeps strays and duplicates in the order sent', () => {
    const chain = [leaf.der, other.der, other.der, leaf.der, rsa.der];
    expect(run({ ...base, chain }).seen.chain.map((der) => Buffer.from(der))).toEqual(chain);
  });

  it('ignores what comes after Finished: tickets, KeyUpdate, data', () => {
    const after = [
      { type: contentTypes.handshake, content: message(handshakeTypes.newSessionTicket, Buffer.alloc(40)) },
      { type: contentTypes.handshake, content: message(handshakeTypes.keyUpdate, Buffer.from([1])) },
      { type: contentTypes.applicationData, content: Buffer.from('220 hello') },
    ];
    expect(run({ ...base, after }).finished).toBe(true);
  });

  it('answers a certificate request with an empty certificate', () => {
    const handshake = run({ ...base, certificateRequest: true });
    expect(handshake.finished).toBe(true);
    // ChangeCipherSpec, then Certificate (8) and Finished (36) in one record with type and tag.
    expect(handshake.takeFlight()!.readUInt16BE(6 + 3)).toBe(8 + 36 + 1 + 16);
  });

  it('stops early when asked to, and then sends nothing', () => {
    const handshake = run(base, startHandshake({ stopEarly: true }));
    expect(handshake.finished).toBe(true);
    expect(handshake.seen.possessionProven).toBe(true);
    expect(handshake.takeFlight()).toBeUndefined();
  });

  it('reports ALPN, OCSP, SCTs and private extensions', () => {
    const sct = vector16(vector16(Buffer.alloc(50, 1)));
    const ocsp = Buffer.concat([Buffer.from([1]), vector24(Buffer.from('an OCSP response'))]);
    const handshake = startHandshake({
      offer: {
        serverName: 'localhost',
        keyType: 'any',
        alpn: ['h2', 'http/1.1'],
        extensions: [0xfa11, 0xfa12],
      },
    });
    const { seen } = run(
      {
        ...base,
        encryptedExtensions: extension(extensionTypes.alpn, Buffer.from('\0\x03\x02h2', 'latin1')),
        entryExtensions: Buffer.concat([
          extension(extensionTypes.statusRequest, ocsp),
          extension(extensionTypes.signedCertificateTimestamp, sct),
          extension(0xfa11, Buffer.from('voucher')),
        ]),
      },
      handshake,
    );
    expect(seen.alpn).toBe('h2');
    expect(
      seen.ocspResponses.map(({ certificate, der }) => [certificate, Buffer.from(der).toString()]),
    ).toEqual([[0, 'an OCSP response']]);
    expect(seen.sctLists.map((list) => Buffer.from(list))).toEqual([sct]);
    expect([...seen.extensions].map(([type, data]) => [type, Buffer.from(data).toString()])).toEqual([
      [0xfa11, 'voucher'],
    ]);
  });

  it.each([
    ['brotli', 2, brotliCompressSync],
    ['zlib', 1, deflateSync],
  ] as const)('takes a certificate message compressed with %s', (_, algorithm, compress) => {
    const rewrite: Script['rewrite'] = (name, whole) => {
      if (name !== 'certificate') return whole;
      const body = whole.subarray(4);
      const size = Buffer.from([body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
      return message(
        handshakeTypes.compressedCertificate,
        Buffer.from([0, algorithm]),
        size,
        vector24(compress(body)),
      );
    };
    const { seen } = run({ ...base, rewrite });
    expect(seen.possessionProven).toBe(true);
    expect(seen.chain.map((der) => Buffer.from(der))).toEqual([leaf.der, other.der]);
  });
});

describe('a TLS 1.3 server that cheats', () => {
  it('signs with a key that is not in the certificate', () => {
    const handshake = startHandshake();
    expect(failure({ ...base, key: other.key }, handshake)).toEqual(fails('bad-signature', 51));
    expect(handshake.seen.possessionProven).toBe(false);
    expect(handshake.seen.chain).toHaveLength(2);
  });

  it('signs another transcript', () => {
    const signTranscript = () => Buffer.alloc(32, 1);
    expect(failure({ ...base, signTranscript })).toEqual(fails('bad-signature', 51));
  });

  it('swaps the chain after signing', () => {
    const corrupt: Script['corrupt'] = (name, whole) =>
      name === 'certificate' ? certificateMessage([leaf.der, rsa.der], Buffer.alloc(0)) : whole;
    expect(failure({ ...base, corrupt })).toEqual(fails('bad-signature', 51));
  });

  it('sends a wrong Finished', () => {
    const corrupt: Script['corrupt'] = (name, whole) => {
      if (name !== 'finished') return whole;
      const wrong = Buffer.from(whole);
      wrong[20]! ^= 1;
      return wrong;
    };
    expect(failure({ ...base, corrupt })).toEqual(fails('bad-signature', 51));
  });

  it('uses a scheme that does not fit the key', () => {
    expect(failure({ ...base, chain: [rsa.der] })).toEqual(fails('protocol-error', 47));
    const pkcs1 = { ...base, chain: [rsa.der], key: rsa.key, scheme: 0x0401 };
    expect(failure(pkcs1)).toEqual(fails('protocol-error', 47));
    expect(run({ ...pkcs1, scheme: 0x0804 }).finished).toBe(true);
  });

  it('shows an ECDSA certificate when only RSA was offered', () => {
    const rsaOnly = startHandshake({
      offer: { serverName: 'localhost', keyType: 'rsa', alpn: [], extensions: [] },
    });
    expect(failure(base, rsaOnly)).toEqual(fails('protocol-error', 47));
  });

  it('leaves messages out', () => {
    for (const left of ['encryptedExtensions', 'certificate', 'certificateVerify'] as const) {
      const rewrite: Script['rewrite'] = (name, whole) => (name === left ? Buffer.alloc(0) : whole);
      expect(failure({ ...base, rewrite }), left).toEqual(fails('protocol-error', 10));
    }
  });

  it('asks for a certificate twice', () => {
    const rewrite: Script['rewrite'] = (name, whole) =>
      name === 'certificateRequest' ? Buffer.concat([whole, whole]) : whole;
    expect(failure({ ...base, certificateRequest: true, rewrite })).toEqual(fails('protocol-error', 10));
  });

  it('sends no certificate, garbage, or garbage inside', () => {
    expect(failure({ ...base, chain: [] })).toEqual(fails('protocol-error', 50));
    expect(failure({ ...base, chain: [Buffer.from('garbage')] })).toEqual(fails('bad-certificate', 42));
    const trailing = Buffer.concat([leaf.der, Buffer.from([0])]);
    expect(failure({ ...base, chain: [trailing] })).toEqual(fails('bad-certificate', 42));
    const spoilt = Buffer.from(leaf.der);
    spoilt.fill(0xff, spoilt.indexOf(Buffer.from('06082a8648ce3d030107', 'hex')), spoilt.length - 80);
    expect(failure({ ...base, chain: [spoilt] })).toEqual(fails('bad-certificate', 42));
  });

  it('has a key of absurd size: judged at once', () => {
    const der = (tag: number, ...parts: Buffer[]) => {
      const body = Buffer.concat(parts);
      return Buffer.concat([Buffer.from([tag, 0x83]), vector24(body)]);
    };
    const number = der(0x02, Buffer.from([1]), Buffer.alloc(100_000, 0xa5));
    const spki = der(
      0x30,
      Buffer.from('300d06092a864886f70d0101010500', 'hex'),
      der(0x03, Buffer.from([0]), der(0x30, number, number)),
    );
    const sequence = Buffer.from([0x30, 0]);
    const serial = Buffer.from([2, 1, 1]);
    const certificate = der(0x30, der(0x30, serial, sequence, sequence, sequence, sequence, spki));
    const before = performance.now();
    const refused = failure({ ...base, chain: [certificate], key: rsa.key, scheme: 0x0804 });
    expect(['bad-certificate', 'bad-signature']).toContain(refused.code);
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  it('sends 1,000 certificates', () => {
    const handshake = startHandshake({ limits: { bytes: 10_000_000, records: 9_999, certificates: 64 } });
    expect(failure({ ...base, chain: Array.from({ length: 1_000 }, () => leaf.der) }, handshake)).toEqual(
      fails('too-large', 80),
    );
    expect(handshake.seen.chain).toHaveLength(64);
  });

  it('announces 16 MB', () => {
    const corrupt: Script['corrupt'] = (name, whole) =>
      name === 'certificate' ? Buffer.from('0bffffff00', 'hex') : whole;
    expect(failure({ ...base, corrupt })).toEqual(fails('too-large', 80));
  });

  it('compresses a bomb', () => {
    const bomb = (announced: number): NonNullable<Script['rewrite']> => {
      const compressed = brotliCompressSync(Buffer.alloc(1_000_000));
      const size = vector24(Buffer.alloc(announced)).subarray(0, 3);
      return (name, whole) =>
        name === 'certificate'
          ? message(handshakeTypes.compressedCertificate, Buffer.from([0, 2]), size, vector24(compressed))
          : whole;
    };
    expect(failure({ ...base, rewrite: bomb(900_000) })).toEqual(fails('too-large', 80));
    const small = failure({ ...base, rewrite: bomb(10_000) });
    expect(small).toEqual(fails('bad-certificate', 42));
    // Stopped at the announced size, not after all of it was there.
    expect(small.cause).toMatchObject({ code: 'ERR_BUFFER_TOO_LARGE' });
  });

  it('repeats an extension, or answers one that was not sent', () => {
    const twice = Buffer.concat([extension(extensionTypes.serverName), extension(extensionTypes.serverName)]);
    expect(failure({ ...base, encryptedExtensions: twice })).toEqual(fails('protocol-error', 50));
    expect(failure({ ...base, encryptedExtensions: extension(0x1234) })).toEqual(
      fails('protocol-error', 110),
    );
    expect(failure({ ...base, encryptedExtensions: extension(extensionTypes.keyShare) })).toEqual(
      fails('protocol-error', 47),
    );
  });

  it('chooses an ALPN protocol that was not offered', () => {
    const offer = { serverName: 'localhost', keyType: 'any' as const, alpn: ['h2'], extensions: [] };
    const encryptedExtensions = extension(extensionTypes.alpn, Buffer.from('\0\x03\x02h3', 'latin1'));
    expect(failure({ ...base, encryptedExtensions }, startHandshake({ offer }))).toEqual(
      fails('protocol-error', 47),
    );
  });

  it('sends handshake records of no length', () => {
    const handshake = startHandshake();
    const empty = plainRecord(contentTypes.handshake, Buffer.alloc(0));
    expect(() => handshake.receive(empty)).toThrow('an empty handshake record');
  });

  it('hides something behind Finished under the same keys', () => {
    const corrupt: Script['corrupt'] = (name, whole) =>
      name === 'finished'
        ? Buffer.concat([whole, message(handshakeTypes.keyUpdate, Buffer.from([0]))])
        : whole;
    expect(failure({ ...base, corrupt })).toEqual(fails('protocol-error', 10));
  });

  it('floods with ChangeCipherSpec', () => {
    const before = Buffer.alloc(6 * 10_000, Buffer.from([20, 3, 3, 0, 1, 1]));
    expect(failure({ ...base, before })).toEqual(fails('too-large', 80));
  });

  it('sends data before Finished', () => {
    const corrupt: Script['corrupt'] = (name, whole) => (name === 'finished' ? Buffer.alloc(0) : whole);
    const handshake = startHandshake();
    const flight = serverFlight({ ...base, corrupt }, handshake.takeFlight()!);
    handshake.receive(flight);
    const data = plainRecord(contentTypes.applicationData, Buffer.alloc(40));
    expect(() => handshake.receive(data)).toThrow('does not decrypt');
  });

  it('talks the client down from 1.3', () => {
    const corrupt: Script['corrupt'] = (name, whole) => {
      if (name !== 'serverHello') return whole;
      const random = Buffer.concat([Buffer.alloc(24), Buffer.from('DOWNGRD\x01', 'latin1')]);
      const tls12 = Buffer.concat([Buffer.from([3, 3]), random, Buffer.from([0, 0xc0, 0x2b, 0])]);
      return message(handshakeTypes.serverHello, tls12);
    };
    const refused = failure({ ...base, corrupt });
    expect(refused).toEqual(fails('protocol-error', 47));
    expect(refused.message).toContain('talked down');
  });
});

describe('ServerHello', () => {
  const answered = (change: (hello: ReturnType<typeof readClientHello>) => Buffer) => {
    const handshake = startHandshake();
    const hello = readClientHello(handshake.takeFlight()!);
    try {
      handshake.receive(plainRecord(contentTypes.handshake, change(hello)));
    } catch (error) {
      return error;
    }
    return handshake;
  };
  const hello = (...parts: (string | Buffer)[]) =>
    message(
      handshakeTypes.serverHello,
      ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : part)),
    );
  const random = Buffer.alloc(32, 1);

  it('of an older version is told apart from nonsense', () => {
    expect(answered(() => hello('0301', random, '00002f00'))).toEqual(fails('no-common-parameters', 70));
    expect(answered(() => hello('0304', random, '00c02b00'))).toEqual(fails('protocol-error', 70));
  });

  it('must keep to what was offered', () => {
    expect(answered(() => hello('0303', random, '00000500'))).toEqual(fails('protocol-error', 47));
    const mixed = answered(() => hello('0303', random, '00130100'));
    expect(mixed).toMatchObject({ message: 'cipher suite 0x1301 does not belong to version 0x0303' });
    expect(answered(() => hello('0303', random, '00c02b01'))).toEqual(fails('protocol-error', 47));
    expect(answered(() => hello('0303', random, '00c02b', '00', '0004', '12340000'))).toEqual(
      fails('protocol-error', 110),
    );
  });

  it('must echo the session id in 1.3 and must not in 1.2', () => {
    const share = Buffer.concat([Buffer.from('00330024001d0020', 'hex'), Buffer.alloc(32, 9)]);
    const extensions = Buffer.concat([Buffer.from('002b00020304', 'hex'), share]);
    const sized = vector16(extensions);
    expect(answered(() => hello('0303', random, '00130100', sized))).toEqual(fails('protocol-error', 47));
    expect(answered(({ sessionId }) => hello('0303', random, '20', sessionId, 'c02b00'))).toEqual(
      fails('protocol-error', 47),
    );
  });

  it('must be alone under its keys in 1.3', () => {
    const extraByte = (client: ReturnType<typeof readClientHello>) => {
      const share = Buffer.concat([Buffer.from('00330024001d0020', 'hex'), Buffer.alloc(32, 9)]);
      const sized = vector16(Buffer.concat([Buffer.from('002b00020304', 'hex'), share]));
      return Buffer.concat([
        hello('0303', random, '20', client.sessionId, '130100', sized),
        Buffer.from([8]),
      ]);
    };
    expect(answered(extraByte)).toEqual(fails('protocol-error', 10));
  });

  it('may not carry a share of low order, or of another group', () => {
    const withShare = (entry: string) => (client: ReturnType<typeof readClientHello>) => {
      const share = extension(extensionTypes.keyShare, Buffer.from(entry, 'hex'));
      const sized = vector16(Buffer.concat([Buffer.from('002b00020304', 'hex'), share]));
      return hello('0303', random, '20', client.sessionId, '130100', sized);
    };
    expect(answered(withShare(`001d0020${'00'.repeat(32)}`))).toEqual(fails('protocol-error', 47));
    expect(answered(withShare(`001d001f${'09'.repeat(31)}`))).toEqual(fails('protocol-error', 47));
    expect(answered(withShare(`00170020${'09'.repeat(32)}`))).toEqual(fails('protocol-error', 47));
  });
});

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

describe('alerts', () => {
  const received = (...records: Buffer[]) => {
    const handshake = startHandshake();
    handshake.takeFlight();
    try {
      handshake.receive(Buffer.concat(records));
    } catch (error) {
      return error;
    }
    return handshake;
  };
  const alert = (level: number, description: number) =>
    plainRecord(contentTypes.alert, Buffer.from([level, description]));

  it('end the handshake with their number', () => {
    expect(received(alert(2, 112))).toEqual(
      expect.objectContaining({ code: 'alert', receivedAlert: 112, owedAlert: undefined }),
    );
    expect(received(alert(1, 0))).toEqual(expect.objectContaining({ code: 'closed' }));
  });

  it('that only warn are ignored, but not for ever', () => {
    expect(received(alert(1, 112), alert(1, 112))).toEqual(expect.objectContaining({ finished: false }));
    expect(received(...Array.from({ length: 17 }, () => alert(1, 112)))).toEqual(
      expect.objectContaining({ code: 'alert' }),
    );
  });

  it('must be of two bytes', () => {
    expect(received(plainRecord(contentTypes.alert, Buffer.from([2])))).toEqual(fails('protocol-error', 50));
    expect(received(alert(3, 40))).toEqual(fails('protocol-error', 47));
  });
});
