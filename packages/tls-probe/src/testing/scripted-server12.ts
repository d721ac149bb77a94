import { createHash, type KeyObject, privateDecrypt, constants } from 'node:crypto';
import { cipherSuites, type Tls12Suite } from '../cipher-suites.ts';
import { extension, extensionTypes } from '../extensions.ts';
import { handshakeTypes, message } from '../handshake-messages.ts';
import { CurveShare, groups } from '../key-exchange.ts';
import { prf } from '../key-schedule.ts';
import { type Sealer, tls12KeySizes, tls12Protection } from '../protection.ts';
import { Reader } from '../reader.ts';
import { changeCipherSpec, contentTypes, plainRecord } from '../record-format.ts';
import { readClientHello, serverHelloBody, signWith, vector16, vector24 } from './scripted-server.ts';

/** A TLS 1.2 server that says whatever a test wants it to. */
export interface Script12 {
  readonly chain: readonly Buffer[];
  readonly key: KeyObject;
  readonly scheme: number;
  readonly suite: number;
  readonly serverRandom?: Buffer;
  /** Extensions of the ServerHello, encoded. */
  readonly extensions?: Buffer;
  readonly sessionId?: Buffer;
  readonly ocsp?: Buffer;
  readonly certificateRequest?: boolean;
  readonly extendedMasterSecret?: boolean;
  readonly rewrite?: (name: MessageName12, whole: Buffer) => Buffer;
  readonly corrupt?: (name: MessageName12, whole: Buffer) => Buffer;
  readonly signContent?: (content: Buffer) => Buffer;
}

export type MessageName12 =
  | 'serverHello'
  | 'certificate'
  | 'certificateStatus'
  | 'serverKeyExchange'
  | 'certificateRequest'
  | 'serverHelloDone'
  | 'finished';

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
const serverShare = new CurveShare(groups.secp256r1, 'prime256v1', Buffer.alloc(32, 5));

/** What a client sent: its messages in the clear, and the encrypted record behind ChangeCipherSpec. */
function readFlight(flight: Buffer): { clear: Buffer[]; sealed: Buffer } {
  const clear: Buffer[] = [];
  let at = 0;
  while (flight[at] !== contentTypes.changeCipherSpec) {
    const end = at + 5 + flight.readUInt16BE(at + 3);
    const reader = new Reader(flight.subarray(at + 5, end), 'client flight');
    while (reader.left > 0) {
      const type = reader.u8();
      clear.push(message(type, reader.vector24()));
    }
    at = end;
  }
  return { clear, sealed: flight.subarray(at + changeCipherSpec.length) };
}

function tls12Suite(id: number): Tls12Suite {
  const suite = cipherSuites.find((known) => known.id === id);
  if (suite?.version !== 0x0303) throw new Error(`no TLS 1.2 suite ${id}`);
  return suite;
}

export class ScriptedServer12 {
  readonly #script: Script12;
  readonly #suite: Tls12Suite;
  readonly #transcript: Buffer[] = [];
  readonly #serverRandom: Buffer;
  #clientRandom: Buffer = Buffer.alloc(32);
  #sealer: Sealer | undefined;
  /** The client's Finished was right. */
  clientFinished = false;

  constructor(script: Script12) {
    this.#script = script;
    this.#suite = tls12Suite(script.suite);
    this.#serverRandom = script.serverRandom ?? Buffer.alloc(32, 9);
  }

  #keep(name: MessageName12, whole: Buffer): Buffer {
    const rewritten = this.#script.rewrite?.(name, whole) ?? whole;
    this.#transcript.push(rewritten);
    return this.#script.corrupt?.(name, rewritten) ?? rewritten;
  }

  #digest(): Buffer {
    return createHash(this.#suite.hash).update(Buffer.concat(this.#transcript)).digest();
  }

  /** ServerHello to ServerHelloDone, a record each. */
  firstFlight(helloRecord: Buffer): Buffer {
    const { chain, key, scheme } = this.#script;
    const hello = readClientHello(helloRecord);
    this.#clientRandom = hello.random;
    this.#transcript.push(hello.whole);
    const extensions = Buffer.concat([
      this.#script.extensions ?? Buffer.alloc(0),
      ...(this.#script.extendedMasterSecret ? [extension(extensionTypes.extendedMasterSecret)] : []),
      ...(this.#script.ocsp ? [extension(extensionTypes.statusRequest)] : []),
    ]);
    const sessionId = this.#script.sessionId ?? Buffer.alloc(0);
    const messages = [
      this.#keep(
        'serverHello',
        message(
          handshakeTypes.serverHello,
          serverHelloBody(sessionId, this.#suite.id, extensions, this.#serverRandom),
        ),
      ),
      this.#keep(
        'certificate',
        message(handshakeTypes.certificate, vector24(Buffer.concat(chain.map(vector24)))),
      ),
    ];
    if (this.#script.ocsp) {
      const status = Buffer.concat([Buffer.from([1]), vector24(this.#script.ocsp)]);
      messages.push(this.#keep('certificateStatus', message(handshakeTypes.certificateStatus, status)));
    }
    if (this.#suite.exchange === 'ecdhe') {
      const point = serverShare.publicKey;
      const params = Buffer.concat([
        Buffer.from([3]),
        u16(groups.secp256r1),
        Buffer.from([point.length]),
        point,
      ]);
      const content = Buffer.concat([hello.random, this.#serverRandom, params]);
      const signature = signWith(scheme, key, this.#script.signContent?.(content) ?? content);
      const body = [params, u16(scheme), vector16(signature)];
      messages.push(this.#keep('serverKeyExchange', message(handshakeTypes.serverKeyExchange, ...body)));
    }
    if (this.#script.certificateRequest) {
      const body = [Buffer.from([1, 1]), vector16(u16(0x0401)), Buffer.from([0, 0])];
      messages.push(this.#keep('certificateRequest', message(handshakeTypes.certificateRequest, ...body)));
    }
    messages.push(this.#keep('serverHelloDone', message(handshakeTypes.serverHelloDone)));
    return Buffer.concat(
      messages.filter(({ length }) => length > 0).map((whole) => plainRecord(contentTypes.handshake, whole)),
    );
  }

  #preMaster(exchange: Buffer): Buffer {
    if (this.#suite.exchange === 'ecdhe') return serverShare.agree(exchange.subarray(5));
    const key = { key: this.#script.key, padding: constants.RSA_PKCS1_PADDING };
    return privateDecrypt(key, exchange.subarray(6));
  }

  /** Checks the client's flight and answers it with ChangeCipherSpec and Finished. */
  secondFlight(clientFlight: Buffer): Buffer {
    const { clear, sealed } = readFlight(clientFlight);
    this.#transcript.push(...clear);
    const preMaster = this.#preMaster(clear.at(-1)!);
    const { hash, cipher } = this.#suite;
    const seed = Buffer.concat([this.#clientRandom, this.#serverRandom]);
    const master = this.#script.extendedMasterSecret
      ? prf(hash, preMaster, 'extended master secret', this.#digest(), 48)
      : prf(hash, preMaster, 'master secret', seed, 48);
    const sizes = tls12KeySizes(cipher);
    const block = prf(
      hash,
      master,
      'key expansion',
      Buffer.concat([this.#serverRandom, this.#clientRandom]),
      2 * (sizes.mac + sizes.key + sizes.iv),
    );
    const parts = new Reader(block, 'key block');
    const two = (size: number) => [parts.take(size), parts.take(size)] as const;
    const [macKeys, keys, ivs] = [two(sizes.mac), two(sizes.key), two(sizes.iv)];
    const side = (at: 0 | 1) =>
      tls12Protection(cipher, { macKey: macKeys[at], key: keys[at], iv: ivs[at] }, (size) =>
        Buffer.alloc(size, 3),
      );
    this.#sealer = side(1);
    const received = side(0).open(sealed.subarray(0, 5), sealed.subarray(5)).content;
    const expected = prf(hash, master, 'client finished', this.#digest(), 12);
    this.clientFinished = received.subarray(4).equals(expected);
    this.#transcript.push(received);
    const serverFinished = prf(hash, master, 'server finished', this.#digest(), 12);
    const whole = this.#keep('finished', message(handshakeTypes.finished, serverFinished));
    return Buffer.concat([changeCipherSpec, this.#sealer.seal(contentTypes.handshake, whole)]);
  }

  /** A record under the server's keys, after the handshake. */
  seal(type: number, content: Buffer): Buffer {
    return this.#sealer!.seal(type, content);
  }
}
