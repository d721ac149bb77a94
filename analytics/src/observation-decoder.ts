import { Interned } from './interned.ts';
import {
  Observation,
  ProbeFailure,
  SignedObservation,
  type StapledOcsp,
  Target,
  type Timings,
  TlsParameters,
} from '@mecai/proto';

export interface Decoded {
  readonly evidence: SignedObservation;
  readonly observation: Observation;
}

/**
 * Decodes signed observations, those in the form in which agents write them several times as fast as the generated
 * code, which gets all others. So both always say the same of the same octets.
 *
 *     signed      = 0x0A length observation  0x12 length signature
 *     observation = [0x0A length nonce]  [0x12 length agent]  [0x1A length target]  [0x20 observed_at]
 *                   *(0x2A length certificate)  [0x30 possession_proven]  [0x3A length tls]
 *                   *(0x42 length ocsp)  *(0x4A length sct_list)  [0x52 length timings]  [0x5A length failure]
 *
 * Messages within one whose octets are those of an earlier one are the same object: they are not to be changed.
 */
export class ObservationDecoder {
  readonly #targets: Interned<Target>;
  readonly #tls: Interned<TlsParameters>;
  readonly #failures: Interned<ProbeFailure>;
  readonly #agents: Interned<string>;

  constructor(capacity = 50_000) {
    this.#targets = new Interned(canonical(Target), capacity);
    this.#tls = new Interned(canonical(TlsParameters), capacity);
    this.#failures = new Interned(canonical(ProbeFailure), capacity);
    this.#agents = new Interned(ascii, capacity);
  }

  /** @throws Error when the octets are no signed observation */
  decode(data: Uint8Array): Decoded {
    try {
      return this.#usual(
        Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.length),
      );
    } catch {
      const evidence = SignedObservation.decode(data);
      return { evidence, observation: Observation.decode(evidence.observation) };
    }
  }

  #usual(data: Buffer): Decoded {
    const cursor = new Cursor(data, 0, data.length);
    if (cursor.octet() !== 0x0a) throw unusual;
    const observation = cursor.span();
    if (cursor.octet() !== 0x12) throw unusual;
    const signature = cursor.span();
    if (!cursor.done) throw unusual;
    const at = observation.byteOffset - data.byteOffset;
    return {
      evidence: { observation, signature },
      observation: this.#observation(new Cursor(data, at, at + observation.length)),
    };
  }

  #observation(cursor: Cursor): Observation {
    const message: Observation = {
      nonce: none,
      agent: '',
      target: undefined,
      observedAt: 0,
      chain: [],
      possessionProven: false,
      tls: undefined,
      ocsp: [],
      sctLists: [],
      timings: undefined,
      failure: undefined,
    };
    let last = 0;
    while (!cursor.done) {
      const tag = cursor.octet();
      if (tag < last || (tag === last && !repeated.has(tag))) throw unusual;
      last = tag;
      switch (tag) {
        case 0x0a:
          message.nonce = cursor.span();
          break;
        case 0x12:
          message.agent = cursor.interned(this.#agents);
          break;
        case 0x1a:
          message.target = cursor.interned(this.#targets);
          break;
        case 0x20:
          message.observedAt = cursor.varint();
          break;
        case 0x2a:
          message.chain.push(cursor.span());
          break;
        case 0x30:
          message.possessionProven = cursor.varint() !== 0;
          break;
        case 0x3a:
          message.tls = cursor.interned(this.#tls);
          break;
        case 0x42:
          message.ocsp.push(stapled(cursor));
          break;
        case 0x4a:
          message.sctLists.push(cursor.span());
          break;
        case 0x52:
          message.timings = timings(cursor);
          break;
        case 0x5a:
          message.failure = cursor.interned(this.#failures);
          break;
        default:
          throw unusual;
      }
    }
    return message;
  }
}

const unusual = new Error('not in the usual form');
const none = new Uint8Array();
/** Fields that may follow themselves. */
const repeated = new Set([0x2a, 0x42, 0x4a]);

class Cursor {
  readonly #octets: Buffer;
  #at: number;
  #end: number;

  constructor(octets: Buffer, at: number, end: number) {
    this.#octets = octets;
    this.#at = at;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  octet(): number {
    if (this.#at >= this.#end) throw unusual;
    return this.#octets[this.#at++]!;
  }

  /** Up to 49 bits, which no time of ours exceeds and every number of JavaScript holds. */
  varint(): number {
    let value = 0;
    for (let unit = 1; unit < 2 ** 49; unit *= 128) {
      const octet = this.octet();
      value += (octet & 0x7f) * unit;
      if (octet < 0x80) return value;
    }
    throw unusual;
  }

  span(): Buffer {
    const length = this.varint();
    const at = this.#at;
    if (length > this.#end - at) throw unusual;
    this.#at = at + length;
    return this.#octets.subarray(at, this.#at);
  }

  /** What is decoded from a span, without a view of it. */
  interned<T>(known: Interned<T>): T {
    const length = this.varint();
    const at = this.#at;
    if (length > this.#end - at) throw unusual;
    this.#at = at + length;
    return known.get(this.#octets, at, this.#at);
  }

  /** Narrows the cursor to what the length before it says, while `read` runs. */
  within<T>(read: () => T): T {
    const length = this.varint();
    const end = this.#end;
    if (length > end - this.#at) throw unusual;
    this.#end = this.#at + length;
    const result = read();
    this.#end = end;
    return result;
  }
}

const timings = (cursor: Cursor): Timings =>
  cursor.within(() => {
    const message: Timings = { connect: 0, firstByte: 0, proof: 0, end: 0 };
    let last = 0;
    while (!cursor.done) {
      const tag = cursor.octet();
      const value = uint32(cursor);
      if (tag <= last) throw unusual;
      last = tag;
      if (tag === 0x08) message.connect = value;
      else if (tag === 0x10) message.firstByte = value;
      else if (tag === 0x18) message.proof = value;
      else if (tag === 0x20) message.end = value;
      else throw unusual;
    }
    return message;
  });

const stapled = (cursor: Cursor): StapledOcsp =>
  cursor.within(() => {
    const message: StapledOcsp = { certificate: 0, response: none };
    let last = 0;
    while (!cursor.done) {
      const tag = cursor.octet();
      if (tag <= last) throw unusual;
      last = tag;
      if (tag === 0x08) message.certificate = uint32(cursor);
      else if (tag === 0x12) message.response = cursor.span();
      else throw unusual;
    }
    return message;
  });

function uint32(cursor: Cursor): number {
  const value = cursor.varint();
  if (value > 0xffff_ffff) throw unusual;
  return value;
}

interface Codec<T> {
  decode(octets: Uint8Array): T;
  encode(message: T): { finish(): Uint8Array };
}

/** Of what the generated code would write: it reads on behind some messages that end early. */
const canonical =
  <T>(codec: Codec<T>) =>
  (octets: Buffer): T => {
    const message = codec.decode(octets);
    if (Buffer.compare(codec.encode(message).finish(), octets) !== 0) throw unusual;
    return message;
  };

function ascii(octets: Buffer): string {
  for (const octet of octets) if (octet >= 0x80) throw unusual;
  return octets.toString('latin1');
}
