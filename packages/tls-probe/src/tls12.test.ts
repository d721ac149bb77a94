/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cipherSuites } from './cipher-suites.ts';
import { extension, extensionTypes } from './extensions.ts';
import { ProbeFailure } from './failure.ts';
import { handshakeTypes, message } from './handshake-messages.ts';
import { changeCipherSpec, contentTypes, plainRecord } from './record-format.ts';
import { type Issued, type KeyKind, TestCertificates } from './testing/certificates.ts';
import { fails } from './testing/run13.ts';
import { vector16, vector24 } from './testing/scripted-server.ts';
import { type Script12, ScriptedServer12 } from './testing/scripted-server12.ts';
import { startHandshake } from './testing/setup.ts';

const certificates = new TestCertificates();
const issued = new Map<KeyKind, Issued>();
let ecdsa: Script12;
let rsa: Script12;

beforeAll(() => {
  for (const kind of ['p256', 'rsa', 'ed25519'] as const) issued.set(kind, certificates.issue(kind, kind));
  const leaf = issued.get('p256')!;
  ecdsa = { chain: [leaf.der, issued.get('rsa')!.der], key: leaf.key, scheme: 0x0403, suite: 0xc02b };
  const rsaLeaf = issued.get('rsa')!;
  rsa = { chain: [rsaLeaf.der], key: rsaLeaf.key, scheme: 0x0804, suite: 0x009c };
});
afterAll(() => certificates.remove());

function run(script: Script12, handshake = startHandshake()) {
  const server = new ScriptedServer12(script);
  handshake.receive(server.firstFlight(handshake.takeFlight()!));
  expect(handshake.seen.possessionProven).toBe(false);
  handshake.receive(server.secondFlight(handshake.takeFlight()!));
  return { handshake, server, seen: handshake.seen };
}

function failure(script: Script12, handshake = startHandshake()): ProbeFailure {
  try {
    run(script, handshake);
  } catch (error) {
    expect(handshake.seen.possessionProven).toBe(false);
    if (error instanceof ProbeFailure) return error;
    throw error;
  }
  throw new Error('the handshake went through');
}

type Name = Parameters<NonNullable<Script12['rewrite']>>[0];
const replacing = (name: Name, change: (whole: Buffer) => Buffer) => (found: Name, whole: Buffer) =>
  found === name ? change(whole) : whole;
const without = (name: Name) => replacing(name, () => Buffer.alloc(0));

const suites = cipherSuites.filter(({ version }) => version === 0x0303);

describe('TLS 1.2 against a scripted server', () => {
  it.each(suites.map(({ id }) => [`0x${id.toString(16).padStart(4, '0')}`, id] as const))(
    'finishes with suite %s, with and without extended master secret',
    (_, id) => {
      const suite = suites.find((found) => found.id === id)!;
      const base = suite.version === 0x0303 && suite.keyType === 'rsa' ? rsa : ecdsa;
      for (const extendedMasterSecret of [false, true]) {
        const { handshake, server, seen } = run({ ...base, suite: id, extendedMasterSecret });
        expect(handshake.finished).toBe(true);
        expect(server.clientFinished).toBe(true);
        expect(seen.possessionProven).toBe(true);
        expect([seen.version, seen.cipherSuite]).toEqual([0x0303, id]);
        // close_notify
        expect(handshake.takeFlight()![0]).toBe(contentTypes.alert);
      }
    },
  );

  it('takes Ed25519 under an ECDSA suite', () => {
    const leaf = issued.get('ed25519')!;
    const { seen } = run({ ...ecdsa, chain: [leaf.der], key: leaf.key, scheme: 0x0807 });
    expect(seen.signatureScheme).toBe(0x0807);
  });

  it('takes RSA-PKCS1 and RSA-PSS under an RSA suite', () => {
    for (const scheme of [0x0401, 0x0804]) {
      expect(run({ ...rsa, suite: 0xc02f, scheme }).seen.signatureScheme).toBe(scheme);
    }
  });

  it('reports status, SCTs, ALPN and private extensions', () => {
    const sct = vector16(vector16(Buffer.alloc(30, 2)));
    const extensions = Buffer.concat([
      extension(extensionTypes.signedCertificateTimestamp, sct),
      extension(extensionTypes.alpn, Buffer.from('\0\x03\x02h2', 'latin1')),
      extension(0xfa11, Buffer.from('voucher')),
    ]);
    const offer = { serverName: 'localhost', keyType: 'any' as const, alpn: ['h2'], extensions: [0xfa11] };
    const { seen } = run({ ...ecdsa, extensions, ocsp: Buffer.from('ocsp') }, startHandshake({ offer }));
    expect(seen.alpn).toBe('h2');
    expect(seen.tlsSctLists).toEqual([{ certificate: 0, list: new Uint8Array(sct) }]);
    expect(Buffer.from(seen.extensions.get(0xfa11)!).toString()).toBe('voucher');
    expect(seen.ocspResponses.map(({ der }) => Buffer.from(der).toString())).toEqual(['ocsp']);
  });

  it('takes a promised status that does not come', () => {
    const { seen } = run({ ...ecdsa, ocsp: Buffer.from('ocsp'), rewrite: without('certificateStatus') });
    expect(seen.ocspResponses).toEqual([]);
    expect(seen.possessionProven).toBe(true);
  });

  it('answers a certificate request with an empty certificate', () => {
    expect(run({ ...ecdsa, certificateRequest: true }).server.clientFinished).toBe(true);
    expect(run({ ...rsa, certificateRequest: true }).server.clientFinished).toBe(true);
  });

  it('ignores HelloRequest while the handshake is under way', () => {
    const handshake = startHandshake();
    const server = new ScriptedServer12(ecdsa);
    const request = plainRecord(contentTypes.handshake, Buffer.alloc(4));
    handshake.receive(Buffer.concat([request, server.firstFlight(handshake.takeFlight()!)]));
    handshake.receive(server.secondFlight(handshake.takeFlight()!));
    expect(handshake.finished).toBe(true);
  });
});

describe('a TLS 1.2 server that cheats', () => {
  it('signs with a key that is not in the certificate', () => {
    const stranger = certificates.issue('stranger', 'p256');
    expect(failure({ ...ecdsa, key: stranger.key })).toEqual(fails('bad-signature', 51));
  });

  it('signs other parameters', () => {
    expect(failure({ ...ecdsa, signContent: () => Buffer.alloc(100) })).toEqual(fails('bad-signature', 51));
  });

  // What stopping before Finished would miss: nothing signs these.
  it.each([
    [
      'the chain behind the leaf',
      'certificate',
      (whole: Buffer) => {
        const leaf = issued.get('p256')!;
        const list = Buffer.concat([leaf.der, issued.get('ed25519')!.der].map(vector24));
        return whole.length > 0 ? message(handshakeTypes.certificate, vector24(list)) : whole;
      },
    ],
    [
      'the OCSP response',
      'certificateStatus',
      () => message(handshakeTypes.certificateStatus, Buffer.from('010000046f637371', 'hex')),
    ],
  ] as const)('or somebody in between swaps %s: Finished shows it', (_, name, change) => {
    const swapped = { ...ecdsa, ocsp: Buffer.from('ocsp'), corrupt: replacing(name, change) };
    const handshake = startHandshake();
    const server = new ScriptedServer12(swapped);
    handshake.receive(server.firstFlight(handshake.takeFlight()!));
    const second = server.secondFlight(handshake.takeFlight()!);
    expect(server.clientFinished).toBe(false);
    expect(() => handshake.receive(second)).toThrow("the server's Finished is wrong");
    expect(handshake.seen.possessionProven).toBe(false);
  });

  it('cannot prove possession under plain RSA without the private key', () => {
    const stranger = certificates.issue('rsa-stranger', 'rsa');
    const handshake = startHandshake();
    const server = new ScriptedServer12(rsa);
    handshake.receive(server.firstFlight(handshake.takeFlight()!));
    const flight = handshake.takeFlight()!;
    const impostor = new ScriptedServer12({ ...rsa, key: stranger.key });
    // Decrypting with another key gives random bytes (implicit rejection) or fails.
    let answer: Buffer | undefined;
    try {
      const probe = startHandshake();
      impostor.firstFlight(probe.takeFlight()!);
      answer = impostor.secondFlight(flight);
    } catch {
      return;
    }
    expect(() => handshake.receive(answer)).toThrow(ProbeFailure);
    expect(handshake.seen.possessionProven).toBe(false);
  });

  it('sends a wrong Finished', () => {
    const corrupt = replacing('finished', (whole) => {
      const wrong = Buffer.from(whole);
      wrong[8]! ^= 1;
      return wrong;
    });
    expect(failure({ ...ecdsa, corrupt })).toEqual(fails('bad-signature', 51));
  });

  it('leaves ChangeCipherSpec out, or sends it early', () => {
    let finished: Buffer = Buffer.alloc(0);
    const rewrite: Script12['rewrite'] = (name, whole) => {
      if (name === 'finished') finished = whole;
      return whole;
    };
    const handshake = startHandshake();
    const server = new ScriptedServer12({ ...ecdsa, rewrite });
    handshake.receive(server.firstFlight(handshake.takeFlight()!));
    server.secondFlight(handshake.takeFlight()!);
    expect(finished.length).toBe(16);
    // Right, but in the clear.
    expect(() => handshake.receive(plainRecord(contentTypes.handshake, finished))).toThrow(
      'finished came where changeCipherSpec was due',
    );
    expect(handshake.seen.possessionProven).toBe(false);
    const early = startHandshake();
    const flight = new ScriptedServer12(ecdsa).firstFlight(early.takeFlight()!);
    expect(() =>
      early.receive(Buffer.concat([flight.subarray(0, 5 + flight.readUInt16BE(3)), changeCipherSpec])),
    ).toThrow(ProbeFailure);
  });

  it('leaves messages out, or sends some twice', () => {
    for (const name of ['certificate', 'serverKeyExchange'] as const) {
      expect(failure({ ...ecdsa, rewrite: without(name) }), name).toEqual(fails('protocol-error', 10));
      const twice = replacing(name, (whole) => Buffer.concat([whole, whole]));
      expect(failure({ ...ecdsa, rewrite: twice }), name).toEqual(fails('protocol-error', 10));
    }
  });

  it('sends ServerKeyExchange under plain RSA', () => {
    const extra = message(handshakeTypes.serverKeyExchange, Buffer.alloc(10));
    const rewrite = replacing('certificate', (whole) => Buffer.concat([whole, extra]));
    expect(failure({ ...rsa, rewrite })).toEqual(fails('protocol-error', 10));
  });

  it('sends a certificate that does not fit the suite', () => {
    expect(failure({ ...rsa, chain: [issued.get('p256')!.der] })).toEqual(fails('bad-certificate', 42));
    expect(failure({ ...ecdsa, chain: [issued.get('rsa')!.der], key: rsa.key, scheme: 0x0804 })).toEqual(
      fails('bad-certificate', 42),
    );
  });

  it('names a curve that was not offered, or none', () => {
    const curve = (bytes: string) =>
      replacing('serverKeyExchange', (whole) =>
        Buffer.concat([whole.subarray(0, 4), Buffer.from(bytes, 'hex'), whole.subarray(7)]),
      );
    expect(failure({ ...ecdsa, rewrite: curve('03001a') })).toEqual(fails('protocol-error', 47));
    expect(failure({ ...ecdsa, rewrite: curve('0311ec') })).toEqual(fails('protocol-error', 47));
    expect(failure({ ...ecdsa, rewrite: curve('010017') })).toEqual(fails('protocol-error', 47));
  });

  it('claims to resume the session that nobody has', () => {
    const handshake = startHandshake();
    const hello = handshake.takeFlight()!;
    const sessionId = hello.subarray(5 + 4 + 2 + 32 + 1, 5 + 4 + 2 + 32 + 1 + 32);
    const server = new ScriptedServer12({ ...ecdsa, sessionId });
    expect(() => handshake.receive(server.firstFlight(hello))).toThrow('claims to resume');
  });

  it('was talked down from 1.3', () => {
    const serverRandom = Buffer.concat([Buffer.alloc(24, 9), Buffer.from('DOWNGRD\x01', 'latin1')]);
    expect(failure({ ...ecdsa, serverRandom })).toEqual(fails('protocol-error', 47));
  });

  it('takes no uncompressed points', () => {
    const formats = (bytes: string) => extension(extensionTypes.ecPointFormats, Buffer.from(bytes, 'hex'));
    expect(run({ ...ecdsa, extensions: formats('020100') }).handshake.finished).toBe(true);
    expect(failure({ ...ecdsa, extensions: formats('0101') })).toEqual(fails('protocol-error', 47));
    for (const wrong of ['00', '0200', '010000']) {
      expect(failure({ ...ecdsa, extensions: formats(wrong) })).toEqual(fails('protocol-error', 50));
    }
  });

  it('sends renegotiation data in a first handshake', () => {
    const extensions = extension(extensionTypes.renegotiationInfo, Buffer.from([2, 1, 1]));
    expect(failure({ ...ecdsa, extensions })).toEqual(fails('protocol-error', 47));
  });
});

describe('its records under TLS 1.2 keys', () => {
  it.each([0xc02b, 0xcca9, 0xc023, 0xc009])('are checked for every bit, suite %i', (suite) => {
    const length = 40;
    for (let at = 0; at < length; at++) {
      const handshake = startHandshake();
      const server = new ScriptedServer12({ ...ecdsa, suite });
      handshake.receive(server.firstFlight(handshake.takeFlight()!));
      const second = server.secondFlight(handshake.takeFlight()!);
      const flipped = 6 + 5 + Math.floor(((second.length - 11) * at) / length);
      second[flipped]! ^= 0x10;
      expect(() => handshake.receive(second), `byte ${flipped}`).toThrow(ProbeFailure);
      expect(handshake.seen.possessionProven).toBe(false);
    }
  });
});
