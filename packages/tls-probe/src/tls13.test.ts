/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { afterAll, describe, expect, it } from 'vitest';
import { extension, extensionTypes } from './extensions.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import { contentTypes } from './record-format.ts';
import { TestCertificates } from './testing/certificates.ts';
import { run } from './testing/run13.ts';
import { type Script, vector16, vector24 } from './testing/scripted-server.ts';
import { startHandshake } from './testing/setup.ts';

const certificates = new TestCertificates();
afterAll(() => certificates.remove());
const leaf = certificates.issue('leaf', 'p256');
const other = certificates.issue('other', 'p256');
const rsa = certificates.issue('rsa', 'rsa');
const base: Script = { chain: [leaf.der, other.der], key: leaf.key };

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
    expect(seen.tlsSctLists).toEqual([{ certificate: 0, list: new Uint8Array(sct) }]);
    expect([...seen.extensions].map(([type, data]) => [type, Buffer.from(data).toString()])).toEqual([
      [0xfa11, 'voucher'],
    ]);
  });
});
