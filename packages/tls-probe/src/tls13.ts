import { timingSafeEqual } from 'node:crypto';
import type { Tls13Suite } from './cipher-suites.ts';
import { decompressCertificate } from './compressed-certificate.ts';
import { expectNoData, extensionTypes, readAlpn, readExtensions } from './extensions.ts';
import { badSignature, malformed, missing, unexpected } from './failure.ts';
import { handshakeTypes, message, messageHeaderSize, messageName } from './handshake-messages.ts';
import {
  finishedMac,
  handshakeSecret,
  hashSizes,
  masterSecret,
  trafficKeys,
  trafficSecret,
} from './key-schedule.ts';
import { recordCertificates, recordPrivate } from './observation.ts';
import { Tls13Protection } from './protection.ts';
import { Reader } from './reader.ts';
import { contentTypes } from './record-format.ts';
import type { Continuation, Session } from './session.ts';
import { verifySignature } from './signature-schemes.ts';

//   Server                                       RFC 8446 section 2
//   {EncryptedExtensions} {CertificateRequest*} {Certificate} {CertificateVerify} {Finished}
//   Client
//   ChangeCipherSpec {Certificate*} {Finished} [Alert close_notify]

/** 64 spaces, the context string and a zero byte, before the hash (RFC 8446 section 4.4.3). */
const verifyPrefix = Buffer.concat([
  Buffer.alloc(64, 0x20),
  Buffer.from('TLS 1.3, server CertificateVerify'),
  Buffer.from([0]),
]);

// SignatureScheme supported_signature_algorithms<2..2^16-2>;   RFC 8446 section 4.2.3
function readSchemes(data: Buffer): void {
  const reader = new Reader(data, 'signature_algorithms');
  if (reader.vector16(2).length % 2 !== 0) throw malformed('half a signature scheme');
  reader.end();
}

// opaque DistinguishedName<1..2^16-1>;
// DistinguishedName authorities<3..2^16-1>;   section 4.2.4
function readAuthorities(data: Buffer): void {
  const reader = new Reader(data, 'certificate_authorities');
  const names = new Reader(reader.vector16(3), 'certificate_authorities');
  reader.end();
  while (names.left > 0) names.vector16(1);
}

type Awaited = 'encryptedExtensions' | 'certificate' | 'certificateVerify' | 'finished';

export class Tls13Handshake implements Continuation {
  readonly #session: Session;
  readonly #suite: Tls13Suite;
  readonly #fromHandshake: Buffer;
  readonly #clientSecret: Buffer;
  readonly #serverSecret: Buffer;
  #clientProtection: Tls13Protection | undefined;
  #awaited: Awaited = 'encryptedExtensions';
  #certificateRequested = false;

  /** @param shared the (EC)DHE secret; the transcript ends with the ServerHello */
  constructor(session: Session, suite: Tls13Suite, shared: Buffer) {
    this.#session = session;
    this.#suite = suite;
    const { hash } = suite;
    const hello = session.transcript.digest();
    this.#fromHandshake = handshakeSecret(hash, shared);
    this.#clientSecret = trafficSecret(hash, this.#fromHandshake, 'c hs traffic', hello);
    this.#serverSecret = trafficSecret(hash, this.#fromHandshake, 's hs traffic', hello);
    session.records.opener = this.#protection(this.#serverSecret);
  }

  #protection(secret: Buffer): Tls13Protection {
    const { cipher, hash } = this.#suite;
    return new Tls13Protection(cipher, trafficKeys(hash, secret, cipher.keySize));
  }

  /** Under the client's handshake keys: made late, a probe that stops early never needs it. */
  get #sealer(): Tls13Protection {
    this.#clientProtection ??= this.#protection(this.#clientSecret);
    return this.#clientProtection;
  }

  alertRecord(level: number, description: number): Buffer {
    const alert = this.#sealer.seal(contentTypes.alert, Buffer.from([level, description]));
    return Buffer.concat([this.#session.dummyChangeCipherSpec(), alert]);
  }

  changeCipherSpec(): void {
    // Dropped wherever it stands before Finished (RFC 8446 section 5).
  }

  message(type: number, whole: Buffer): boolean {
    const { transcript } = this.#session;
    switch (this.#awaited) {
      case 'encryptedExtensions':
        if (type !== handshakeTypes.encryptedExtensions) break;
        transcript.add(whole);
        this.#readEncryptedExtensions(whole);
        this.#awaited = 'certificate';
        return false;
      case 'certificate':
        if (type === handshakeTypes.certificateRequest && !this.#certificateRequested) {
          transcript.add(whole);
          this.#readCertificateRequest(whole);
          this.#certificateRequested = true;
          return false;
        }
        if (type !== handshakeTypes.certificate && type !== handshakeTypes.compressedCertificate) break;
        transcript.add(whole);
        this.#readCertificate(type, whole);
        this.#awaited = 'certificateVerify';
        return false;
      case 'certificateVerify':
        if (type !== handshakeTypes.certificateVerify) break;
        this.#readCertificateVerify(whole);
        transcript.add(whole);
        this.#awaited = 'finished';
        return this.#session.stopEarly;
      case 'finished':
        if (type !== handshakeTypes.finished) break;
        this.#readFinished(whole);
        transcript.add(whole);
        this.#answer();
        return true;
    }
    throw unexpected(`${messageName(type)} came where ${this.#awaited} was due`);
  }

  // struct { Extension extensions<0..2^16-1>; } EncryptedExtensions;   RFC 8446 section 4.3.1
  #readEncryptedExtensions(whole: Buffer): void {
    const { offer, offered, seen } = this.#session;
    const reader = new Reader(whole, 'EncryptedExtensions', messageHeaderSize);
    readExtensions(reader, 'EncryptedExtensions', offered, (type, data) => {
      if (type === extensionTypes.alpn) seen.alpn = readAlpn(data, offer.alpn);
      else if (type === extensionTypes.serverName) expectNoData(type, data);
      else
        return type === extensionTypes.supportedGroups || recordPrivate(seen, offer.extensions, type, data);
      return true;
    });
    reader.end();
  }

  // struct {
  //   opaque certificate_request_context<0..2^8-1>;   empty in the handshake
  //   Extension extensions<2..2^16-1>;                signature_algorithms is a must
  // } CertificateRequest;                             RFC 8446 section 4.3.2
  #readCertificateRequest(whole: Buffer): void {
    const reader = new Reader(whole, 'CertificateRequest', messageHeaderSize);
    if (reader.vector8().length > 0) throw unexpected('a CertificateRequest with a context');
    const extensions = new Reader(reader.vector16(2), 'the extensions of CertificateRequest');
    reader.end();
    const types = new Set<number>();
    while (extensions.left > 0) {
      const type = extensions.u16();
      const data = extensions.vector16();
      if (type === extensionTypes.signatureAlgorithms) readSchemes(data);
      else if (type === extensionTypes.certificateAuthorities) readAuthorities(data);
      if (types.has(type)) throw malformed(`extension ${type} stands twice in CertificateRequest`);
      types.add(type);
    }
    if (!types.has(extensionTypes.signatureAlgorithms)) {
      throw missing('a CertificateRequest without signature_algorithms');
    }
  }

  #readCertificate(type: number, whole: Buffer): void {
    const { limits, offer, offered, seen } = this.#session;
    const plain = type === handshakeTypes.certificate ? whole : decompressCertificate(whole, limits.bytes);
    recordCertificates(seen, plain, 0x0304, limits.certificates, offered, offer.extensions);
  }

  // struct { SignatureScheme algorithm; opaque signature<0..2^16-1>; } CertificateVerify;
  // RFC 8446 section 4.4.3
  #readCertificateVerify(whole: Buffer): void {
    const { leafKeys, offer, seen, transcript } = this.#session;
    const reader = new Reader(whole, 'CertificateVerify', messageHeaderSize);
    const scheme = reader.u16();
    const signature = reader.vector16();
    reader.end();
    const leaf = leafKeys.of(Buffer.from(seen.chain[0]!.buffer));
    seen.signatureScheme = scheme;
    const signed = Buffer.concat([verifyPrefix, transcript.digest()]);
    verifySignature(scheme, leaf, signed, signature, { keyType: offer.keyType, version: 0x0304 });
    seen.possessionProven = true;
  }

  // struct { opaque verify_data[Hash.length]; } Finished;   RFC 8446 section 4.4.4
  #readFinished(whole: Buffer): void {
    const { hash } = this.#suite;
    const { messages, transcript } = this.#session;
    const received = whole.subarray(messageHeaderSize);
    if (received.length !== hashSizes[hash]) throw malformed('a Finished of the wrong size');
    const expected = finishedMac(hash, this.#serverSecret, transcript.digest());
    if (!timingSafeEqual(received, expected)) throw badSignature("the server's Finished is wrong");
    if (!messages.atBoundary) throw unexpected('bytes after Finished under the same keys');
  }

  /** The second flight: change_cipher_spec for middleboxes, no certificate if one was asked for, the end. */
  #answer(): void {
    const { hash } = this.#suite;
    const { dummyChangeCipherSpec, transcript, send } = this.#session;
    const upToServerFinished = transcript.digest();
    const flight: Buffer[] = [];
    if (this.#certificateRequested) {
      // Empty context, empty list: this client has no identity.
      const none = message(handshakeTypes.certificate, Buffer.alloc(4));
      transcript.add(none);
      flight.push(none);
    }
    const covered = this.#certificateRequested ? transcript.digest() : upToServerFinished;
    flight.push(message(handshakeTypes.finished, finishedMac(hash, this.#clientSecret, covered)));
    send(dummyChangeCipherSpec());
    send(this.#sealer.seal(contentTypes.handshake, Buffer.concat(flight)));
    const master = masterSecret(hash, this.#fromHandshake);
    const application = trafficSecret(hash, master, 'c ap traffic', upToServerFinished);
    // warning(1), close_notify(0)
    send(this.#protection(application).seal(contentTypes.alert, Buffer.from([1, 0])));
  }
}
