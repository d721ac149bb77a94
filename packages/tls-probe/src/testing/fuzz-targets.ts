import { createHash, createPrivateKey } from 'node:crypto';
import { brotliCompressSync, deflateSync, zstdCompressSync } from 'node:zlib';
import { authority, embeddedSctLeaf, makeOcspResponse, sctList } from '@mecai/pki/testing';
import { cipherSuites } from '../cipher-suites.ts';
import { decompressCertificate } from '../compressed-certificate.ts';
import { extension, extensionTypes } from '../extensions.ts';
import { handshakeTypes, message, MessageReader } from '../handshake-messages.ts';
import { ReusedKeyShares } from '../key-exchange.ts';
import { LeafKeys, subjectPublicKeyInfo } from '../leaf-key.ts';
import { Observation } from '../observation.ts';
import { Preamble } from '../preamble.ts';
import { type StartTlsProtocol, startTlsProtocols } from '../prober.ts';
import { contentTypes, plainRecord } from '../record-format.ts';
import { RecordReader } from '../record-reader.ts';
import { embeddedLists, stapledLists } from '../sct-lists.ts';
import type { Session } from '../session.ts';
import { preambles } from '../starttls.ts';
import { Tls13Handshake } from '../tls13.ts';
import { Transcript } from '../transcript.ts';
import {
  certificateMessage,
  helloRetryRequest,
  readClientHello,
  serverFlight,
  vector16,
  vector24,
} from './scripted-server.ts';
import { ScriptedServer12 } from './scripted-server12.ts';
import { countedRandom, startHandshake } from './setup.ts';

/** Something that takes hostile bytes: it may throw a `ProbeFailure` and nothing else. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(bytes: Buffer): void;
}

/** P-256, private key 1: its public key is the curve's base point. For fuzzing only. */
const point = Buffer.from(
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296' +
    '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
  'hex',
);
const sec1 = Buffer.concat([
  Buffer.from('30770201010420', 'hex'),
  Buffer.concat([Buffer.alloc(31), Buffer.from([1])]),
  Buffer.from('a00a06082a8648ce3d030107a144034200', 'hex'),
  point,
]);
const key = createPrivateKey({ key: sec1, format: 'der', type: 'sec1' });

const der = (tag: number, ...content: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(content);
  const length =
    body.length < 128 ? Buffer.from([body.length]) : Buffer.from([0x82, body.length >> 8, body.length]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
};
const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex'));
const publicKey = der(
  0x30,
  Buffer.from('301306072a8648ce3d020106082a8648ce3d030107', 'hex'),
  der(0x03, Buffer.from([0]), point),
);
const name = der(
  0x30,
  der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from('fuzz')))),
);
const validity = der(0x30, der(0x17, Buffer.from('260101000000Z')), der(0x17, Buffer.from('270101000000Z')));
/** Enough of a certificate for the probe, which reads its key and no more. */
const certificate = der(
  0x30,
  der(0x30, Buffer.from('a003020102020101', 'hex'), algorithm, name, validity, name, publicKey),
  algorithm,
  der(0x03, Buffer.alloc(71)),
);

const script13 = { chain: [certificate, certificate], key };
const script12 = { chain: [certificate], key, scheme: 0x0403, suite: 0xc02b };

const offer = { serverName: 'localhost', keyType: 'any' as const, alpn: ['h2'], extensions: [0xfa11] };
const shares = new ReusedKeyShares(() => 0);
const start = () => startHandshake({ offer, shares, random: countedRandom('fuzz') });

/** The whole engine on what goes over the wire; the same hello each time. */
const wire: FuzzTarget = {
  name: 'wire',
  seeds: (() => {
    const hello = start().takeFlight()!;
    const parsed = readClientHello(hello);
    return [
      serverFlight(script13, hello),
      serverFlight({ ...script13, certificateRequest: true, coalesce: true }, hello),
      new ScriptedServer12(script12).firstFlight(hello),
      new ScriptedServer12({ ...script12, ocsp: Buffer.alloc(9), certificateRequest: true }).firstFlight(
        hello,
      ),
      plainRecord(contentTypes.handshake, helloRetryRequest(parsed, 0x1301, 0x0017, Buffer.from('cookie'))),
      Buffer.from([21, 3, 3, 0, 2, 1, 112, 21, 3, 3, 0, 2, 2, 40]),
    ];
  })(),
  run(bytes) {
    const handshake = start();
    handshake.takeFlight();
    handshake.receive(bytes);
  },
};

const encrypted = [
  extension(extensionTypes.alpn, Buffer.from('\0\x03\x02h2', 'latin1')),
  extension(extensionTypes.serverName),
];
const entry = [
  extension(extensionTypes.statusRequest, Buffer.from([1]), vector24(Buffer.alloc(20, 4))),
  extension(extensionTypes.signedCertificateTimestamp, vector16(vector16(Buffer.alloc(12)))),
  extension(0xfa11, Buffer.from('voucher')),
];
const compressed = (number: number, compress: (bytes: Buffer) => Buffer): Buffer => {
  const body = certificateMessage([certificate, certificate], Buffer.concat(entry)).subarray(4);
  const size = vector24(body).subarray(0, 3);
  return message(
    handshakeTypes.compressedCertificate,
    Buffer.from([0, number]),
    size,
    vector24(compress(body)),
  );
};

/** What stands inside the encryption of TLS 1.3, without the encryption. */
const inside: FuzzTarget = {
  name: 'inside-1.3',
  seeds: (() => {
    const extensions = message(handshakeTypes.encryptedExtensions, vector16(Buffer.concat(encrypted)));
    const schemes = extension(extensionTypes.signatureAlgorithms, vector16(Buffer.from([4, 3])));
    const request = message(handshakeTypes.certificateRequest, Buffer.from([0]), vector16(schemes));
    const chain = certificateMessage([certificate, certificate], Buffer.concat(entry));
    const verify = message(handshakeTypes.certificateVerify, Buffer.from([4, 3]), vector16(Buffer.alloc(70)));
    const finished = message(handshakeTypes.finished, Buffer.alloc(32));
    return [
      Buffer.concat([extensions, chain, verify, finished]),
      Buffer.concat([extensions, request, chain, verify, finished]),
      Buffer.concat([extensions, compressed(2, brotliCompressSync), verify, finished]),
      Buffer.concat([extensions, compressed(1, deflateSync), verify, finished]),
    ];
  })(),
  run(bytes) {
    let handshake: Tls13Handshake | undefined;
    const session: Session = {
      offer,
      offered: new Set([0, 5, 10, 16, 18, 0xfa11]),
      limits: { bytes: 262_144, certificates: 64 },
      random: countedRandom(),
      shares,
      leafKeys: insideKeys,
      stopEarly: false,
      clientRandom: Buffer.alloc(32),
      sessionId: Buffer.alloc(32),
      seen: new Observation(),
      transcript: new Transcript(),
      records: new RecordReader(100, () => true),
      messages: new MessageReader(262_144, (type, whole) => !handshake!.message(type, whole)),
      send: () => {},
      dummyChangeCipherSpec: () => Buffer.alloc(0),
    };
    session.transcript.choose('sha256');
    const suite = cipherSuites[0]!;
    if (suite.version === 0x0304) handshake = new Tls13Handshake(session, suite, insideSecret);
    session.messages.receive(bytes);
  },
};
const insideKeys = new LeafKeys();
const insideSecret = createHash('sha256').digest();

const leafKeys = new LeafKeys(2);
const leaf: FuzzTarget = {
  name: 'leaf-key',
  seeds: [certificate],
  run: (bytes) => void leafKeys.of(bytes),
};
const walk: FuzzTarget = {
  name: 'certificate-walk',
  seeds: [certificate],
  run: (bytes) => void subjectPublicKeyInfo(bytes),
};

const compression: FuzzTarget = {
  name: 'compressed-certificate',
  seeds: [compressed(2, brotliCompressSync), compressed(1, deflateSync), compressed(3, zstdCompressSync)],
  run: (bytes) => void decompressCertificate(bytes, 65_536),
};

const ct = authority('CT CA');
const embeddedScts: FuzzTarget = {
  name: 'embedded-scts',
  seeds: [Buffer.from(embeddedSctLeaf(ct, new Date(0)).leaf.der)],
  run: (bytes) => void [...embeddedLists(bytes)],
};
const stapledScts: FuzzTarget = {
  name: 'stapled-scts',
  seeds: [Buffer.from(makeOcspResponse(ct, ct, { scts: sctList(ct.der, new Date(0)) }))],
  run: (bytes) => void [...stapledLists(bytes)],
};

const talks: Record<StartTlsProtocol, string> = {
  smtp: '220-a\r\n220 b\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n',
  lmtp: '220 b\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n',
  imap: '* OK a\r\n* CAPABILITY\r\na OK go\r\n',
  pop3: '+OK a\r\n+OK b\r\n',
  sieve: '"STARTTLS"\r\nOK\r\nOK\r\n',
  nntp: '200 a\r\n382 b\r\n',
  ftp: '220-a\r\n b\r\n220 c\r\n234 d\r\n',
  'xmpp-client':
    "<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed/>",
  'xmpp-server':
    "<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed></proceed>",
  ldap: Buffer.from('300c02010178070a010004000400', 'hex').toString('latin1'),
  postgres: 'S',
  mysql: `\x21\0\0\0\x0a8.0\0${'\x01'.repeat(12)}\0\xff\xff${'\0'.repeat(11)}`,
};
const preamble = (protocol: StartTlsProtocol): FuzzTarget => ({
  name: protocol,
  seeds: [Buffer.from(talks[protocol], 'latin1')],
  run(bytes) {
    const context = { serverName: 'localhost', localAddress: '127.0.0.1', send: () => {} };
    new Preamble(preambles[protocol](context)).receive(bytes);
  },
});

export const fuzzTargets: readonly FuzzTarget[] = [
  wire,
  inside,
  leaf,
  walk,
  compression,
  embeddedScts,
  stapledScts,
  ...startTlsProtocols.map(preamble),
];
