import { constants, publicEncrypt, timingSafeEqual } from 'node:crypto';
import type { Tls12Suite } from './cipher-suites.ts';
import { checkPointFormats, extensionTypes } from './extensions.ts';
import { badCertificate, badSignature, illegal, malformed, unexpected } from './failure.ts';
import {
  expectEmpty,
  handshakeTypes,
  message,
  messageHeaderSize,
  messageName,
} from './handshake-messages.ts';
import { groups, offeredGroups } from './key-exchange.ts';
import { prf } from './key-schedule.ts';
import type { LeafKey } from './leaf-key.ts';
import { recordCertificates, recordCertificateStatus, recordHelloExtensions } from './observation.ts';
import { type Opener, type Sealer, tls12KeySizes, tls12Protection } from './protection.ts';
import { Reader } from './reader.ts';
import { changeCipherSpec, contentTypes, plainRecord } from './record-format.ts';
import type { ServerHello } from './server-hello.ts';
import { hex16 } from './server-hello.ts';
import type { Continuation, Session } from './session.ts';
import { verifySignature } from './signature-schemes.ts';

//   Server                                       RFC 5246 section 7.3
//   Certificate CertificateStatus* ServerKeyExchange* CertificateRequest* ServerHelloDone
//   Client
//   Certificate* ClientKeyExchange [ChangeCipherSpec] Finished
//   Server
//   [ChangeCipherSpec] Finished
//   Client
//   Alert close_notify

/** Bytes of verify_data and of the master secret (RFC 5246 sections 7.4.9 and 8.1). */
const verifyDataSize = 12;
const masterSecretSize = 48;

type Awaited =
  | 'certificate'
  | 'certificateStatus'
  | 'serverKeyExchange'
  | 'certificateRequest'
  | 'serverHelloDone'
  | 'changeCipherSpec'
  | 'finished';

export class Tls12Handshake implements Continuation {
  readonly #session: Session;
  readonly #suite: Tls12Suite;
  readonly #serverRandom: Buffer;
  readonly #extendedMasterSecret: boolean;
  readonly #statusPromised: boolean;
  #awaited: Awaited = 'certificate';
  #leaf: LeafKey | undefined;
  #preMaster: Buffer | undefined;
  #clientShare: Buffer | undefined;
  #certificateRequested = false;
  #masterSecret: Buffer | undefined;
  #sealer: Sealer | undefined;
  #opener: Opener | undefined;

  constructor(session: Session, hello: ServerHello, suite: Tls12Suite) {
    this.#session = session;
    this.#suite = suite;
    this.#serverRandom = Buffer.from(hello.random);
    // Sessions are never resumed, so an echo of the random id claims one that does not exist.
    if (hello.sessionId.equals(session.sessionId)) throw illegal('the server claims to resume a session');
    const { extensions } = hello;
    const renegotiation = extensions.get(extensionTypes.renegotiationInfo);
    // RFC 5746 section 3.4: empty in the first handshake.
    if (renegotiation && !renegotiation.equals(Buffer.from([0]))) {
      throw illegal('renegotiation_info must be empty in a first handshake');
    }
    const formats = extensions.get(extensionTypes.ecPointFormats);
    if (formats) checkPointFormats(formats);
    const extended = extensions.get(extensionTypes.extendedMasterSecret);
    if (extended && extended.length > 0) throw malformed('extended_master_secret must be empty');
    this.#extendedMasterSecret = extended !== undefined;
    this.#statusPromised = extensions.has(extensionTypes.statusRequest);
    recordHelloExtensions(session.seen, extensions, session.offer.extensions, session.offer.alpn);
  }

  alertRecord(level: number, description: number): Buffer {
    const content = Buffer.from([level, description]);
    return this.#sealer?.seal(contentTypes.alert, content) ?? plainRecord(contentTypes.alert, content);
  }

  changeCipherSpec(): void {
    if (this.#awaited !== 'changeCipherSpec') {
      throw unexpected(`ChangeCipherSpec came where ${this.#awaited} was due`);
    }
    this.#session.records.opener = this.#opener;
    this.#awaited = 'finished';
  }

  message(type: number, whole: Buffer): boolean {
    // Ignored while a handshake is under way, and no part of the transcript (RFC 5246 section 7.4.1.1).
    if (type === handshakeTypes.helloRequest) {
      expectEmpty(whole);
      return false;
    }
    if (type === handshakeTypes.finished && this.#awaited === 'finished') {
      this.#readFinished(whole);
      return true;
    }
    this.#serverFlight(type, whole);
    return false;
  }

  /** Each message says which ones it may come after; those between are optional. */
  #serverFlight(type: number, whole: Buffer): void {
    const { transcript, limits, offer, offered, seen } = this.#session;
    const at = (...places: readonly Awaited[]) => {
      if (!places.includes(this.#awaited)) {
        throw unexpected(`${messageName(type)} came where ${this.#awaited} was due`);
      }
      transcript.add(whole);
    };
    switch (type) {
      case handshakeTypes.certificate:
        at('certificate');
        recordCertificates(seen, whole, 0x0303, limits.certificates, offered, offer.extensions);
        this.#awaited = this.#statusPromised ? 'certificateStatus' : this.#afterStatus();
        return;
      case handshakeTypes.certificateStatus:
        at('certificateStatus');
        recordCertificateStatus(seen, whole);
        this.#awaited = this.#afterStatus();
        return;
      case handshakeTypes.serverKeyExchange:
        // A server may promise a status and then send none (RFC 6066 section 8).
        if (this.#awaited === 'certificateStatus') this.#awaited = this.#afterStatus();
        at('serverKeyExchange');
        this.#readServerKeyExchange(whole);
        this.#awaited = 'certificateRequest';
        return;
      case handshakeTypes.certificateRequest:
        if (this.#awaited === 'certificateStatus') this.#awaited = this.#afterStatus();
        at('certificateRequest');
        this.#readCertificateRequest(whole);
        this.#certificateRequested = true;
        this.#awaited = 'serverHelloDone';
        return;
      case handshakeTypes.serverHelloDone:
        if (this.#awaited === 'certificateStatus') this.#awaited = this.#afterStatus();
        at('certificateRequest', 'serverHelloDone');
        expectEmpty(whole);
        this.#awaited = 'changeCipherSpec';
        this.#answer();
        return;
      default:
        throw unexpected(`${messageName(type)} came where ${this.#awaited} was due`);
    }
  }

  #afterStatus(): Awaited {
    return this.#suite.exchange === 'rsa' ? 'certificateRequest' : 'serverKeyExchange';
  }

  /** The certificate's key, of the type the cipher suite calls for (RFC 8422 section 2, RFC 5246 section 7.4.2). */
  #leafKey(): LeafKey {
    const { leafKeys, seen } = this.#session;
    this.#leaf ??= leafKeys.of(Buffer.from(seen.chain[0]!.buffer));
    const { type } = this.#leaf;
    const isRsa = type === 'rsa' || (type === 'rsa-pss' && this.#suite.exchange === 'ecdhe');
    const fits = this.#suite.keyType === 'rsa' ? isRsa : ['ec', 'ed25519', 'ed448'].includes(type);
    if (!fits) throw badCertificate(`a key of type ${type} does not fit suite ${hex16(this.#suite.id)}`);
    return this.#leaf;
  }

  // struct {
  //   ECCurveType curve_type = named_curve(3);   uint8
  //   NamedCurve namedcurve;                     uint16
  //   opaque point<1..2^8-1>;
  //   SignatureAndHashAlgorithm algorithm;       uint16, over client_random + server_random + the above
  //   opaque signature<0..2^16-1>;
  // } ServerKeyExchange;                         RFC 8422 section 5.4
  #readServerKeyExchange(whole: Buffer): void {
    const { clientRandom, offer, seen, shares } = this.#session;
    const reader = new Reader(whole, 'ServerKeyExchange', messageHeaderSize);
    if (reader.u8() !== 3) throw illegal('a ServerKeyExchange without a named curve');
    const group = reader.u16();
    const point = reader.vector8(1);
    const params = whole.subarray(messageHeaderSize, whole.length - reader.left);
    const scheme = reader.u16();
    const signature = reader.vector16();
    reader.end();
    if (!offeredGroups.includes(group) || group === groups.x25519MlKem768) {
      throw illegal(`group ${hex16(group)} was not offered for TLS 1.2`);
    }
    seen.group = group;
    seen.signatureScheme = scheme;
    const signed = Buffer.concat([clientRandom, this.#serverRandom, params]);
    verifySignature(scheme, this.#leafKey(), signed, signature, { keyType: offer.keyType, version: 0x0303 });
    const share = shares.share(group);
    this.#preMaster = share.agree(point);
    this.#clientShare = Buffer.concat([Buffer.from([share.publicKey.length]), share.publicKey]);
  }

  // struct {
  //   ClientCertificateType certificate_types<1..2^8-1>;
  //   SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;
  //   DistinguishedName certificate_authorities<0..2^16-1>;
  // } CertificateRequest;                        RFC 5246 section 7.4.4
  #readCertificateRequest(whole: Buffer): void {
    const reader = new Reader(whole, 'CertificateRequest', messageHeaderSize);
    reader.vector8(1);
    if (reader.vector16(2).length % 2 !== 0) throw malformed('half a signature algorithm');
    reader.vector16();
    reader.end();
  }

  /** Client version and 46 random bytes, encrypted to the certificate (RFC 5246 section 7.4.7.1). */
  #encryptedPreMaster(): Buffer {
    const leaf = this.#leafKey();
    this.#preMaster = Buffer.concat([Buffer.from([3, 3]), this.#session.random(46)]);
    try {
      const key = { key: leaf.key, padding: constants.RSA_PKCS1_PADDING };
      const encrypted = publicEncrypt(key, this.#preMaster);
      return Buffer.concat([Buffer.from([encrypted.length >> 8, encrypted.length & 0xff]), encrypted]);
    } catch (cause) {
      throw badCertificate("nothing can be encrypted to the certificate's key", cause);
    }
  }

  #answer(): void {
    const { messages, send, transcript } = this.#session;
    if (!messages.atBoundary) throw unexpected('bytes after ServerHelloDone');
    const flight: Buffer[] = [];
    // certificate_list of no length: this client has no identity.
    if (this.#certificateRequested) flight.push(message(handshakeTypes.certificate, Buffer.alloc(3)));
    const exchange = this.#suite.exchange === 'rsa' ? this.#encryptedPreMaster() : this.#clientShare!;
    flight.push(message(handshakeTypes.clientKeyExchange, exchange));
    for (const part of flight) transcript.add(part);
    this.#deriveKeys();
    const finished = this.#finished('client finished');
    transcript.add(finished);
    send(plainRecord(contentTypes.handshake, Buffer.concat(flight)));
    send(changeCipherSpec);
    send(this.#sealer!.seal(contentTypes.handshake, finished));
  }

  /** Transcript up to ClientKeyExchange (RFC 7627 section 4; RFC 5246 sections 8.1 and 6.3). */
  #deriveKeys(): void {
    const { clientRandom, random, transcript } = this.#session;
    const { cipher, hash } = this.#suite;
    this.#masterSecret = this.#extendedMasterSecret
      ? prf(hash, this.#preMaster!, 'extended master secret', transcript.digest(), masterSecretSize)
      : prf(
          hash,
          this.#preMaster!,
          'master secret',
          Buffer.concat([clientRandom, this.#serverRandom]),
          masterSecretSize,
        );
    const sizes = tls12KeySizes(cipher);
    const block = prf(
      hash,
      this.#masterSecret,
      'key expansion',
      Buffer.concat([this.#serverRandom, clientRandom]),
      2 * (sizes.mac + sizes.key + sizes.iv),
    );
    const parts = new Reader(block, 'the key block');
    const macKeys = [parts.take(sizes.mac), parts.take(sizes.mac)] as const;
    const keys = [parts.take(sizes.key), parts.take(sizes.key)] as const;
    const ivs = [parts.take(sizes.iv), parts.take(sizes.iv)] as const;
    const side = (index: 0 | 1) =>
      tls12Protection(cipher, { macKey: macKeys[index], key: keys[index], iv: ivs[index] }, random);
    this.#sealer = side(0);
    this.#opener = side(1);
  }

  #finished(label: 'client finished' | 'server finished'): Buffer {
    const digest = this.#session.transcript.digest();
    const data = prf(this.#suite.hash, this.#masterSecret!, label, digest, verifyDataSize);
    return message(handshakeTypes.finished, data);
  }

  /** Only now is the chain the server's own: ServerKeyExchange signs neither it nor what is stapled. */
  #readFinished(whole: Buffer): void {
    const { messages, seen, send } = this.#session;
    if (whole.length !== messageHeaderSize + verifyDataSize) throw malformed('a Finished of the wrong size');
    if (!timingSafeEqual(whole, this.#finished('server finished'))) {
      throw badSignature("the server's Finished is wrong");
    }
    if (!messages.atBoundary) throw unexpected('bytes after Finished');
    seen.possessionProven = true;
    // warning(1), close_notify(0)
    send(this.alertRecord(1, 0));
  }
}
