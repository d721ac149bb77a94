import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { cipherSuites } from './cipher-suites.ts';
import { ProbeFailure } from './failure.ts';
import { type Opener, Tls13Protection, tls12KeySizes, tls12Protection } from './protection.ts';
import { contentTypes, maxPlaintext } from './record-format.ts';

const open = (opener: Opener, record: Buffer) => opener.open(record.subarray(0, 5), record.subarray(5));
const badMac = expect.objectContaining({ code: 'protocol-error', owedAlert: 20 });
const outcome = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    if (error instanceof ProbeFailure) return error;
    throw error;
  }
};

const pairs = cipherSuites.map((suite) => {
  const { cipher } = suite;
  const sizes = tls12KeySizes(cipher);
  const keys = { macKey: randomBytes(sizes.mac), key: randomBytes(sizes.key), iv: randomBytes(sizes.iv) };
  const make = () => {
    if (suite.version === 0x0304) {
      return new Tls13Protection(suite.cipher, {
        key: keys.key,
        iv: Buffer.concat([keys.iv, Buffer.alloc(8)]).subarray(0, 12),
      });
    }
    return tls12Protection(cipher, keys, randomBytes);
  };
  return [`0x${suite.id.toString(16)}`, make] as const;
});

describe.each(pairs)('records under suite %s', (_, make) => {
  it('open as they were sealed, in their order only', () => {
    const [sealer, opener] = [make(), make()];
    for (const size of [0, 1, 15, 16, 17, 1_000, maxPlaintext]) {
      const content = randomBytes(size);
      const opened = open(opener, sealer.seal(contentTypes.handshake, content));
      expect(opened.type).toBe(contentTypes.handshake);
      expect(opened.content.equals(content)).toBe(true);
    }
    const [first, second] = [sealer.seal(22, Buffer.alloc(20)), sealer.seal(22, Buffer.alloc(20))];
    expect(outcome(() => open(opener, second))).toEqual(badMac);
    void first;
  });

  it('are refused when cut short or changed', () => {
    const record = make().seal(contentTypes.handshake, randomBytes(40));
    for (let size = 5; size < record.length; size++) {
      expect(outcome(() => open(make(), record.subarray(0, size)))).toBeInstanceOf(ProbeFailure);
    }
    for (let at = 5; at < record.length; at++) {
      const changed = Buffer.from(record);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x80, at);
      expect(
        outcome(() => open(make(), changed)),
        `byte ${at}`,
      ).toEqual(badMac);
    }
  });

  it('may not hold more than 2^14 bytes', () => {
    const record = make().seal(contentTypes.handshake, Buffer.alloc(maxPlaintext + 1, 1));
    expect(outcome(() => open(make(), record))).toEqual(expect.objectContaining({ owedAlert: 22 }));
  });
});

describe('a TLS 1.3 record', () => {
  const suite = cipherSuites[0]!;
  const make = () => {
    if (suite.version !== 0x0304) throw new Error('the first suite is of TLS 1.3');
    return new Tls13Protection(suite.cipher, { key: Buffer.alloc(16), iv: Buffer.alloc(12) });
  };

  it('of padding only has no type', () => {
    expect(outcome(() => open(make(), make().seal(0, Buffer.alloc(30))))).toEqual(
      expect.objectContaining({ code: 'protocol-error', owedAlert: 10 }),
    );
  });

  it('in the clear is not taken', () => {
    expect(outcome(() => make().open(Buffer.from([22, 3, 3, 0, 40]), Buffer.alloc(40)))).toEqual(
      expect.objectContaining({ code: 'protocol-error', owedAlert: 10 }),
    );
  });
});

describe('CBC padding', () => {
  const cbc = cipherSuites.find(({ id }) => id === 0x002f)!.cipher;
  const keys = { macKey: Buffer.alloc(20, 1), key: Buffer.alloc(16, 2), iv: Buffer.alloc(0) };
  /** A record with a right MAC and whatever padding. */
  const sealed = (padding: Buffer) => {
    const content = Buffer.alloc(12, 5);
    const additional = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 22, 3, 3, 0, content.length]);
    const mac = createHmac('sha1', keys.macKey).update(additional).update(content).digest();
    const aes = createCipheriv('aes-128-cbc', keys.key, Buffer.alloc(16)).setAutoPadding(false);
    const plain = Buffer.concat([content, mac, padding]);
    const body = Buffer.concat([Buffer.alloc(16), aes.update(plain), aes.final()]);
    return Buffer.concat([Buffer.from([22, 3, 3, 0, body.length]), body]);
  };
  const opened = (padding: Buffer) =>
    outcome(() => open(tls12Protection(cbc, keys, randomBytes), sealed(padding)).content.length);

  it('is any number of the same bytes', () => {
    expect(opened(Buffer.alloc(16, 15))).toBe(12);
    expect(opened(Buffer.alloc(48, 47))).toBe(12);
  });

  it('is refused where a byte of it differs, or it is longer than the record', () => {
    const wrong = Buffer.alloc(16, 15);
    wrong[0] = 14;
    expect(opened(wrong)).toEqual(badMac);
    expect(opened(Buffer.alloc(16, 200))).toEqual(badMac);
    expect(opened(Buffer.alloc(16, 31))).toEqual(badMac);
  });
});
