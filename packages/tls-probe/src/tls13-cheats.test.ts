/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { afterAll, describe, expect, it } from 'vitest';
import { extension, extensionTypes } from './extensions.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { TestCertificates } from './testing/certificates.ts';
import { failure, fails, run } from './testing/run13.ts';
import {
  certificateMessage,
  type Script,
  serverFlight,
  vector16,
  vector24,
} from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

const certificates = new TestCertificates();
afterAll(() => certificates.remove());
const leaf = certificates.issue('leaf', 'p256');
const other = certificates.issue('other', 'p256');
const rsa = certificates.issue('rsa', 'rsa');
const base: Script = { chain: [leaf.der, other.der], key: leaf.key };

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

  it('signs by another curve than its scheme names', () => {
    const p384 = certificates.issue('p384', 'p384');
    const script = { ...base, chain: [p384.der], key: p384.key };
    expect(failure({ ...script, scheme: 0x0403 })).toEqual(fails('protocol-error', 47));
    expect(run({ ...script, scheme: 0x0503 }).finished).toBe(true);
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

  it('asks for a certificate of badly written authorities', () => {
    const asking = (authorities: string) => {
      const rewrite: Script['rewrite'] = (name, whole) => {
        if (name !== 'certificateRequest') return whole;
        const schemes = extension(extensionTypes.signatureAlgorithms, Buffer.from([0, 2, 4, 3]));
        const names = extension(extensionTypes.certificateAuthorities, Buffer.from(authorities, 'hex'));
        const extensions = vector16(Buffer.concat([schemes, names]));
        return message(handshakeTypes.certificateRequest, Buffer.from([0]), extensions);
      };
      return { ...base, certificateRequest: true, rewrite };
    };
    expect(run(asking('000400023000')).finished).toBe(true);
    for (const wrong of ['0000', '00020000', '0004000230', '0005000230ff00', '000400023000ff']) {
      expect(failure(asking(wrong)), wrong).toEqual(fails('protocol-error', 50));
    }
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
