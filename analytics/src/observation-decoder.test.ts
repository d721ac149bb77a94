import { KeyType, Observation, SignedObservation } from '@mecai/proto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { ObservationDecoder } from './observation-decoder.ts';

const octets = (maxLength = 40) => fc.uint8Array({ maxLength });
const uint32 = fc.nat(2 ** 31);
const text = fc.oneof(
  fc.constantFrom('', 'lima', 'www.example.org'),
  fc.string({ unit: 'binary', maxLength: 9 }),
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const observation: fc.Arbitrary<Observation> = fc.record({
  nonce: octets(),
  agent: text,
  target: maybe(
    fc.record({
      address: octets(16),
      port: uint32,
      serverName: text,
      startTls: text,
      keyType: fc.constantFrom(KeyType.KEY_TYPE_UNSPECIFIED, KeyType.KEY_TYPE_ECDSA),
    }),
  ),
  observedAt: fc.oneof(fc.constant(1_795_000_000_000), fc.maxSafeNat()),
  chain: fc.array(octets(300), { maxLength: 4 }),
  possessionProven: fc.boolean(),
  tls: maybe(
    fc.record({ version: uint32, cipherSuite: uint32, group: uint32, signatureScheme: uint32, alpn: text }),
  ),
  ocsp: fc.array(fc.record({ certificate: uint32, response: octets() }), { maxLength: 2 }),
  sctLists: fc.array(octets(), { maxLength: 2 }),
  timings: maybe(fc.record({ connect: uint32, firstByte: uint32, proof: uint32, end: uint32 })),
  failure: maybe(fc.record({ class: text, alert: uint32, detail: text })),
});
const signed = fc
  .record({ observation, signature: octets(72) })
  .map((parts) => ({ ...parts, observation: Observation.encode(parts.observation).finish() }));

/** What the generated code says: both messages, or that it is none. */
function generated(data: Uint8Array) {
  try {
    const evidence = SignedObservation.decode(data);
    return { evidence, observation: Observation.decode(evidence.observation) };
  } catch {
    return undefined;
  }
}

function ours(decoder: ObservationDecoder, data: Uint8Array) {
  try {
    return decoder.decode(data);
  } catch {
    return undefined;
  }
}

/** Octets are compared by what is in them, whatever class holds them. */
const plain = (value: unknown) =>
  JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && 'data' in one && 'type' in one
      ? Buffer.from(one as never).toString('hex')
      : one instanceof Uint8Array
        ? Buffer.from(one).toString('hex')
        : one,
  );

it('says of every observation what the generated code says', () => {
  const decoder = new ObservationDecoder(20);
  fc.assert(
    fc.property(signed, (message) => {
      const data = SignedObservation.encode(message).finish();
      expect(plain(ours(decoder, data))).toBe(plain(generated(data)));
    }),
    { numRuns: 2000 },
  );
});

it('says of mutilated, repeated and reordered fields what the generated code says', () => {
  const decoder = new ObservationDecoder(20);
  const change = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), at: fc.nat(), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), value: fc.nat(20) }),
    fc.record({ kind: fc.constant('repeat' as const), at: fc.nat(), value: fc.nat(60) }),
  );
  fc.assert(
    fc.property(
      signed,
      fc.array(change, { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      (message, changes, inner) => {
        let data: Uint8Array = inner ? message.observation : SignedObservation.encode(message).finish();
        for (const { kind, at, value } of changes) {
          const place = at % (data.length + 1);
          const [before, after] = [data.subarray(0, place), data.subarray(place)];
          if (kind === 'set') data = Buffer.concat([before, Uint8Array.of(value), after.subarray(1)]);
          else if (kind === 'cut') data = Buffer.concat([before, after.subarray(value)]);
          else data = Buffer.concat([before, after.subarray(0, value), after]);
        }
        if (inner) data = SignedObservation.encode({ ...message, observation: data }).finish();
        expect(plain(ours(decoder, data))).toBe(plain(generated(data)));
      },
    ),
    { numRuns: 4000 },
  );
});

it('takes the octets of agents without the generated code, and equal messages as one object', () => {
  const decoder = new ObservationDecoder();
  const target = {
    address: Uint8Array.of(192, 0, 2, 1),
    port: 443,
    serverName: 'www.example.org',
    startTls: '',
    keyType: KeyType.KEY_TYPE_ECDSA,
  };
  const encode = (nonce: number) => {
    const message: Observation = {
      nonce: Uint8Array.of(nonce),
      agent: 'lima',
      target,
      observedAt: 1,
      chain: [],
      possessionProven: true,
      tls: undefined,
      ocsp: [],
      sctLists: [],
      timings: undefined,
      failure: undefined,
    };
    const observation = Observation.encode(message).finish();
    return SignedObservation.encode({ observation, signature: Uint8Array.of(1) }).finish();
  };
  const [first, second] = [decoder.decode(encode(1)).observation, decoder.decode(encode(2)).observation];
  expect(first.target).toStrictEqual({ ...target, address: Buffer.from(target.address) });
  expect(second.target).toBe(first.target);
});
