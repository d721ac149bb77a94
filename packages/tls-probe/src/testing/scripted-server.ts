import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  sign,
} from 'node:crypto';
import type { Tls13Suite } from '../cipher-suites.ts';
import { cipherSuites } from '../cipher-suites.ts';
import { extension, extensionTypes } from '../extensions.ts';
import { handshakeTypes, message } from '../handshake-messages.ts';
import { finishedMac, handshakeSecret, masterSecret, trafficKeys, trafficSecret } from '../key-schedule.ts';
import { Tls13Protection } from '../protection.ts';
import { Reader } from '../reader.ts';
import { changeCipherSpec, contentTypes, plainRecord } from '../record-format.ts';
import { retryRandom } from '../server-hello.ts';

/** A TLS 1.3 server that says whatever a test wants it to, correctly encrypted. */
export interface Script {
  readonly chain: readonly Buffer[];
  readonly key: KeyObject;
  readonly scheme?: number;
  readonly suite?: number;
  /** Extensions of EncryptedExtensions, encoded. */
  readonly encryptedExtensions?: Buffer;
  /** Extensions of the first certificate's entry, encoded. */
  readonly entryExtensions?: Buffer;
  readonly certificateRequest?: boolean;
  /** Bytes of content in one record. */
  readonly fragment?: number;
  /** One record for each message, or all in one. */
  readonly coalesce?: boolean;
  /** Zero bytes of padding in each encrypted record. */
  readonly padding?: number;
  /** Changes a message before it goes into the transcript; an empty buffer leaves it out. */
  readonly rewrite?: (name: MessageName, whole: Buffer) => Buffer;
  /** Changes a message after it went into the transcript. */
  readonly corrupt?: (name: MessageName, whole: Buffer) => Buffer;
  /** Records put in front of the encrypted flight. */
  readonly before?: Buffer;
  /** Encrypted after the flight under the application keys: type and content. */
  readonly after?: readonly { readonly type: number; readonly content: Buffer }[];
  readonly signTranscript?: (transcript: Buffer) => Buffer;
}

export type MessageName =
  | 'serverHello'
  | 'encryptedExtensions'
  | 'certificateRequest'
  | 'certificate'
  | 'certificateVerify'
  | 'finished';

export interface ReadHello {
  readonly whole: Buffer;
  readonly random: Buffer;
  readonly sessionId: Buffer;
  readonly suites: readonly number[];
  readonly extensions: ReadonlyMap<number, Buffer>;
  readonly order: readonly number[];
}

/** Reads a ClientHello out of its record. */
export function readClientHello(record: Buffer): ReadHello {
  const whole = record.subarray(5, 5 + record.readUInt16BE(3));
  const reader = new Reader(whole, 'ClientHello', 4);
  reader.u16();
  const random = Buffer.from(reader.take(32));
  const sessionId = Buffer.from(reader.vector8());
  const suiteList = reader.vector16();
  reader.vector8();
  const list = new Reader(reader.vector16(), 'extensions');
  reader.end();
  const extensions = new Map<number, Buffer>();
  const order: number[] = [];
  while (list.left > 0) {
    const type = list.u16();
    order.push(type);
    extensions.set(type, Buffer.from(list.vector16()));
  }
  const suites = Array.from({ length: suiteList.length / 2 }, (_, at) => suiteList.readUInt16BE(at * 2));
  return { whole: Buffer.from(whole), random, sessionId, suites, extensions, order };
}

const x25519Spki = Buffer.from('302a300506032b656e032100', 'hex');
const x25519Pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** The same in each run, so that a failure can be repeated. */
const serverPrivate = createPrivateKey({
  key: Buffer.concat([x25519Pkcs8, createHash('sha256').update('scripted server').digest()]),
  format: 'der',
  type: 'pkcs8',
});
const serverShare = createPublicKey(serverPrivate).export({ format: 'der', type: 'spki' }).subarray(-32);

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
export const vector16 = (content: Buffer) => Buffer.concat([u16(content.length), content]);
export const vector24 = (content: Buffer) =>
  Buffer.concat([Buffer.from([content.length >> 16]), u16(content.length & 0xffff), content]);

export const serverHelloBody = (
  sessionId: Buffer,
  suite: number,
  extensions: Buffer,
  random: Buffer = Buffer.alloc(32, 7),
) =>
  Buffer.concat([
    Buffer.from([3, 3]),
    random,
    Buffer.from([sessionId.length]),
    sessionId,
    u16(suite),
    Buffer.from([0]),
    vector16(extensions),
  ]);

/** A HelloRetryRequest for a group, or with a cookie, or both. */
export const helloRetryRequest = (hello: ReadHello, suite: number, group?: number, cookie?: Buffer): Buffer =>
  message(
    handshakeTypes.serverHello,
    serverHelloBody(
      hello.sessionId,
      suite,
      Buffer.concat([
        extension(extensionTypes.supportedVersions, u16(0x0304)),
        ...(group === undefined ? [] : [extension(extensionTypes.keyShare, u16(group))]),
        ...(cookie ? [extension(extensionTypes.cookie, vector16(cookie))] : []),
      ]),
      retryRandom,
    ),
  );

const signOptions: Record<number, { hash: string | undefined; pss: boolean }> = {
  0x0403: { hash: 'sha256', pss: false },
  0x0503: { hash: 'sha384', pss: false },
  0x0603: { hash: 'sha512', pss: false },
  0x0401: { hash: 'sha256', pss: false },
  0x0804: { hash: 'sha256', pss: true },
  0x0805: { hash: 'sha384', pss: true },
  0x0806: { hash: 'sha512', pss: true },
  0x0807: { hash: undefined, pss: false },
  0x0808: { hash: undefined, pss: false },
  0x0809: { hash: 'sha256', pss: true },
};

export function signWith(scheme: number, key: KeyObject, content: Buffer): Buffer {
  const { hash, pss } = signOptions[scheme]!;
  if (!pss) return sign(hash, content, key);
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return sign(hash, content, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}

const verifyContext = Buffer.concat([
  Buffer.alloc(64, 0x20),
  Buffer.from('TLS 1.3, server CertificateVerify\0'),
]);

export const certificateMessage = (chain: readonly Buffer[], entryExtensions: Buffer): Buffer =>
  message(
    handshakeTypes.certificate,
    Buffer.from([0]),
    vector24(
      Buffer.concat(
        chain.map((der, at) =>
          Buffer.concat([vector24(der), vector16(at === 0 ? entryExtensions : Buffer.alloc(0))]),
        ),
      ),
    ),
  );

function tls13Suite(id: number): Tls13Suite {
  const suite = cipherSuites.find((known) => known.id === id);
  if (suite?.version !== 0x0304) throw new Error(`no TLS 1.3 suite ${id}`);
  return suite;
}

/**
 * The server's whole flight in answer to a ClientHello record (or to a second one, after `earlier` messages
 * which stand in the transcript as they are).
 */
export function serverFlight(script: Script, helloRecord: Buffer, earlier: readonly Buffer[] = []): Buffer {
  const hello = readClientHello(helloRecord);
  const suite = tls13Suite(script.suite ?? 0x1301);
  const { hash } = suite;
  const transcript: Buffer[] = [...earlier, hello.whole];
  const digest = () => createHash(hash).update(Buffer.concat(transcript)).digest();
  const keep = (name: MessageName, whole: Buffer): Buffer => {
    const rewritten = script.rewrite?.(name, whole) ?? whole;
    transcript.push(rewritten);
    return script.corrupt?.(name, rewritten) ?? rewritten;
  };

  const clientShare = hello.extensions.get(extensionTypes.keyShare)!.subarray(6);
  const publicKey = createPublicKey({
    key: Buffer.concat([x25519Spki, clientShare]),
    format: 'der',
    type: 'spki',
  });
  const shared = diffieHellman({ privateKey: serverPrivate, publicKey });
  const serverHello = keep(
    'serverHello',
    message(
      handshakeTypes.serverHello,
      serverHelloBody(
        hello.sessionId,
        suite.id,
        Buffer.concat([
          extension(extensionTypes.supportedVersions, u16(0x0304)),
          extension(extensionTypes.keyShare, u16(0x001d), vector16(serverShare)),
        ]),
      ),
    ),
  );
  const fromHandshake = handshakeSecret(hash, shared);
  const secret = trafficSecret(hash, fromHandshake, 's hs traffic', digest());
  const protection = new Tls13Protection(suite.cipher, trafficKeys(hash, secret, suite.cipher.keySize));
  const messages: Buffer[] = [];
  messages.push(
    keep(
      'encryptedExtensions',
      message(handshakeTypes.encryptedExtensions, vector16(script.encryptedExtensions ?? Buffer.alloc(0))),
    ),
  );
  if (script.certificateRequest) {
    const schemes = extension(extensionTypes.signatureAlgorithms, vector16(u16(0x0403)));
    messages.push(
      keep(
        'certificateRequest',
        message(handshakeTypes.certificateRequest, Buffer.from([0]), vector16(schemes)),
      ),
    );
  }
  messages.push(
    keep('certificate', certificateMessage(script.chain, script.entryExtensions ?? Buffer.alloc(0))),
  );
  const scheme = script.scheme ?? 0x0403;
  const covered = script.signTranscript?.(digest()) ?? digest();
  const signature = signWith(scheme, script.key, Buffer.concat([verifyContext, covered]));
  messages.push(
    keep('certificateVerify', message(handshakeTypes.certificateVerify, u16(scheme), vector16(signature))),
  );
  messages.push(keep('finished', message(handshakeTypes.finished, finishedMac(hash, secret, digest()))));
  const contents = cut(script.coalesce ? [Buffer.concat(messages)] : messages, script.fragment);
  const padding = Buffer.alloc(script.padding ?? 0);
  const seal = (content: Buffer) =>
    padding.length > 0
      ? // The protection appends the type, so padding goes behind a type of its own with type 0 on top.
        protection.seal(0, Buffer.concat([content, Buffer.from([contentTypes.handshake]), padding]))
      : protection.seal(contentTypes.handshake, content);
  const application = trafficSecret(hash, masterSecret(hash, fromHandshake), 's ap traffic', digest());
  const after = new Tls13Protection(suite.cipher, trafficKeys(hash, application, suite.cipher.keySize));
  return Buffer.concat([
    ...(serverHello.length > 0
      ? cut([serverHello], script.fragment).map((part) => plainRecord(contentTypes.handshake, part))
      : []),
    changeCipherSpec,
    script.before ?? Buffer.alloc(0),
    ...contents.map(seal),
    ...(script.after ?? []).map(({ type, content }) => after.seal(type, content)),
  ]);
}

const cut = (messages: readonly Buffer[], size = 16_384): Buffer[] =>
  messages.flatMap((whole) =>
    Array.from({ length: Math.ceil(whole.length / size) }, (_, at) =>
      whole.subarray(at * size, (at + 1) * size),
    ),
  );
