import type { CipherSuite } from './cipher-suites.ts';
import { clientHello, type Offer, offeredExtensions } from './client-hello.ts';
import { extensionTypes } from './extensions.ts';
import { illegal, malformed, missing, ProbeFailure, tooLarge, unexpected } from './failure.ts';
import { handshakeTypes, MessageReader, messageName } from './handshake-messages.ts';
import { type KeyShare, type KeyShareSource, offeredGroups } from './key-exchange.ts';
import type { LeafKeys } from './leaf-key.ts';
import { Observation } from './observation.ts';
import type { ProbeLimits } from './prober.ts';
import { Reader } from './reader.ts';
import { changeCipherSpec, contentTypes, maxPlaintext, plainRecord } from './record-format.ts';
import { RecordReader } from './record-reader.ts';
import { readServerHello, type ServerHello } from './server-hello.ts';
import type { Continuation, Random, Session } from './session.ts';
import { Tls12Handshake } from './tls12.ts';
import { Tls13Handshake } from './tls13.ts';
import { Transcript } from './transcript.ts';

export interface HandshakeSetup {
  readonly offer: Offer;
  readonly limits: Pick<ProbeLimits, 'bytes' | 'records' | 'certificates'>;
  readonly stopEarly: boolean;
  readonly random: Random;
  readonly shares: KeyShareSource;
  readonly leafKeys: LeafKeys;
  /** Writes the ClientHello; the published traces bring their own. */
  readonly hello?: typeof clientHello;
}

/** A cookie is a hash or a sealed state; longer ones would only be reflected. Bytes. */
const longestCookie = 8_192;
/** Warnings of TLS 1.2 mean nothing to a prober, but a server does not send them for ever. */
const mostWarnings = 16;

/** The handshake without the network: bytes in, flights out. Time and sockets are the caller's. */
export class Handshake {
  readonly seen = new Observation();
  /** There is nothing more to wait for, and no error. */
  finished = false;
  readonly #session: Session;
  readonly #hello: typeof clientHello;
  #share: KeyShare;
  #flight: Buffer[] = [];
  #retried: CipherSuite | undefined;
  #continuation: Continuation | undefined;
  #dummySent = false;
  #warnings = 0;

  constructor(setup: HandshakeSetup) {
    this.#hello = setup.hello ?? clientHello;
    this.#share = setup.shares.share(offeredGroups[0]!);
    const unpredictable = setup.random(64);
    this.#session = {
      ...setup,
      offered: offeredExtensions(setup.offer),
      clientRandom: unpredictable.subarray(0, 32),
      sessionId: unpredictable.subarray(32),
      seen: this.seen,
      transcript: new Transcript(),
      records: new RecordReader(setup.limits.records, (type, content) => this.#record(type, content)),
      messages: new MessageReader(setup.limits.bytes, (type, whole) => this.#message(type, whole)),
      send: (record) => this.#flight.push(record),
      dummyChangeCipherSpec: () => {
        const record = this.#dummySent ? Buffer.alloc(0) : changeCipherSpec;
        this.#dummySent = true;
        return record;
      },
    };
    // Without a session id there is no compatibility mode.
    this.#dummySent = this.#session.sessionId.length === 0;
    this.#sendHello(1);
  }

  /** What is to be sent now; empty when nothing is. */
  takeFlight(): Buffer | undefined {
    if (this.#flight.length === 0) return undefined;
    const flight = this.#flight.length === 1 ? this.#flight[0]! : Buffer.concat(this.#flight);
    this.#flight = [];
    return flight;
  }

  /**
   * @param chunk as it came from the network; not kept
   * @throws ProbeFailure
   */
  receive(chunk: Buffer): void {
    if (!this.finished) this.#session.records.receive(chunk);
  }

  /** The fatal alert that tells the server of a failure. */
  alertRecord(description: number): Buffer {
    return (
      this.#continuation?.alertRecord(2, description) ??
      plainRecord(contentTypes.alert, Buffer.from([2, description]))
    );
  }

  #sendHello(recordMinor: number, cookie?: Buffer): void {
    const { clientRandom, offer, sessionId, transcript } = this.#session;
    const hello = this.#hello(offer, {
      random: clientRandom,
      sessionId,
      share: this.#share,
      ...(cookie && { cookie }),
    });
    transcript.add(hello);
    for (let at = 0; at < hello.length; at += maxPlaintext) {
      this.#flight.push(
        plainRecord(contentTypes.handshake, hello.subarray(at, at + maxPlaintext), recordMinor),
      );
    }
  }

  #record(type: number, content: Buffer): boolean {
    const { messages } = this.#session;
    if (type === contentTypes.handshake) {
      messages.receive(content);
      return !this.finished;
    }
    // RFC 8446 section 5.1: no other record type between the pieces of one message.
    if (!messages.atBoundary) throw unexpected('a record of another type inside a handshake message');
    if (type === contentTypes.alert) this.#alert(content);
    else if (type === contentTypes.changeCipherSpec) this.#changeCipherSpec(content);
    else throw unexpected(`a record of type ${type} during the handshake`);
    return true;
  }

  // struct { AlertLevel level; AlertDescription description; } Alert;   RFC 8446 section 6
  #alert(content: Buffer): void {
    if (content.length !== 2) throw malformed('an alert that is not two bytes');
    const level = content[0]!;
    const description = content[1]!;
    if (description === 0) throw new ProbeFailure('closed', 'the server sent close_notify');
    if (level !== 1 && level !== 2) throw illegal(`an alert of level ${level}`);
    // In TLS 1.3 the level means nothing and only user_canceled is no error (RFC 8446 section 6).
    const ignorable = level === 1 && (this.#session.records.version !== 0x0304 || description === 90);
    if (ignorable && ++this.#warnings <= mostWarnings) return;
    throw new ProbeFailure('alert', `the server sent alert ${description}`, { receivedAlert: description });
  }

  // struct { enum { change_cipher_spec(1) } type; } ChangeCipherSpec;   RFC 5246 section 7.1
  #changeCipherSpec(content: Buffer): void {
    if (content.length !== 1 || content[0] !== 1) throw unexpected('a ChangeCipherSpec that is not one');
    if (this.#continuation) this.#continuation.changeCipherSpec();
    // A server in compatibility mode sends it right behind its HelloRetryRequest.
    else if (!this.#retried) throw unexpected('ChangeCipherSpec before ServerHello');
  }

  #message(type: number, whole: Buffer): boolean {
    if (this.#continuation) {
      this.finished = this.#continuation.message(type, whole);
      return !this.finished;
    }
    // RFC 5246 section 7.4.1.1: to be ignored while negotiating.
    if (type === handshakeTypes.helloRequest && whole.length === 4 && !this.#retried) return true;
    if (type !== handshakeTypes.serverHello) throw unexpected(`${messageName(type)} before ServerHello`);
    this.#serverHello(whole);
    return true;
  }

  #serverHello(whole: Buffer): void {
    const { offer, offered, transcript, records, messages, sessionId } = this.#session;
    const hello = readServerHello(whole, offer.keyType, offered, offer.extensions);
    const { suite } = hello;
    if (this.#retried && suite !== this.#retried) {
      throw illegal('ServerHello does not keep to its HelloRetryRequest');
    }
    this.seen.version = suite.version;
    this.seen.cipherSuite = suite.id;
    records.version = suite.version;
    transcript.choose(suite.hash);
    if (suite.version === 0x0303) {
      transcript.add(whole);
      this.#continuation = new Tls12Handshake(this.#session, hello, suite);
      return;
    }
    if (!hello.sessionId.equals(sessionId)) throw illegal('the server did not echo the session id');
    if (!messages.atBoundary) throw unexpected('bytes after ServerHello under the same keys');
    if (hello.retry) {
      this.#retry(hello, whole);
      return;
    }
    transcript.add(whole);
    const shared = this.#agree(hello);
    this.#continuation = new Tls13Handshake(this.#session, suite, shared);
  }

  // struct { NamedGroup selected_group; } KeyShareHelloRetryRequest;   RFC 8446 section 4.2.8
  // struct { opaque cookie<1..2^16-1>; } Cookie;                       section 4.2.2
  #retry(hello: ServerHello, whole: Buffer): void {
    if (this.#retried) throw unexpected('a second HelloRetryRequest');
    const { shares, transcript } = this.#session;
    const selected = hello.extensions.get(extensionTypes.keyShare);
    const cookieData = hello.extensions.get(extensionTypes.cookie);
    if (!selected && !cookieData) throw illegal('a HelloRetryRequest that changes nothing');
    if (selected) {
      const reader = new Reader(selected, 'the key share of HelloRetryRequest');
      const group = reader.u16();
      reader.end();
      if (!offeredGroups.includes(group) || group === this.#share.group) {
        throw illegal(`HelloRetryRequest for group ${group}`);
      }
      this.#share = shares.share(group);
    }
    let cookie: Buffer | undefined;
    if (cookieData) {
      const reader = new Reader(cookieData, 'the cookie');
      cookie = Buffer.from(reader.vector16(1));
      reader.end();
      if (cookie.length > longestCookie) throw tooLarge(`a cookie of ${cookie.length} bytes`);
    }
    this.#retried = hello.suite;
    transcript.restart();
    transcript.add(whole);
    this.#flight.push(this.#session.dummyChangeCipherSpec());
    this.#sendHello(3, cookie);
  }

  // struct { NamedGroup group; opaque key_exchange<1..2^16-1>; } KeyShareEntry;   RFC 8446 section 4.2.8
  #agree(hello: ServerHello): Buffer {
    const data = hello.extensions.get(extensionTypes.keyShare);
    if (!data) throw missing('a ServerHello without a key share');
    const reader = new Reader(data, 'the key share');
    const group = reader.u16();
    const share = reader.vector16(1);
    reader.end();
    if (group !== this.#share.group) throw illegal(`a key share of group ${group}, which was not offered`);
    this.seen.group = group;
    return this.#share.agree(share);
  }
}
