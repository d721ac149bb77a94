/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { extension, extensionTypes } from './extensions.ts';
import { ProbeFailure } from './failure.ts';
import { handshakeTypes } from './handshake-messages.ts';
import type { Handshake } from './handshake.ts';
import { contentTypes, plainRecord } from './record-format.ts';
import { type Issued, TestCertificates } from './testing/certificates.ts';
import { fuzzTargets } from './testing/fuzz-targets.ts';
import { Fuzzer } from './testing/fuzzer.ts';
import { Dice, mutate } from './testing/mutations.ts';
import { type MessageName, serverFlight } from './testing/scripted-server.ts';
import { type MessageName12, ScriptedServer12 } from './testing/scripted-server12.ts';
import { startHandshake } from './testing/setup.ts';

const certificates = new TestCertificates();
let leaf: Issued;
let other: Issued;
beforeAll(() => {
  leaf = certificates.issue('leaf', 'p256');
  other = certificates.issue('other', 'p256');
});
afterAll(() => certificates.remove());

/** Feeds in pieces; anything thrown but a `ProbeFailure` is a finding. */
function survives(handshake: Handshake, bytes: Buffer, piece: number): boolean {
  try {
    for (let at = 0; at < bytes.length; at += piece) handshake.receive(bytes.subarray(at, at + piece));
  } catch (error) {
    if (!(error instanceof ProbeFailure)) throw error;
    expect(error.code).not.toBe('local-error');
    return false;
  }
  return true;
}

const genuine = (handshake: Handshake) =>
  handshake.seen.chain.map((der) => Buffer.from(der).toString('hex')).join() ===
  [leaf, other].map(({ der }) => der.toString('hex')).join();

const names13 = [
  'serverHello',
  'encryptedExtensions',
  'certificateRequest',
  'certificate',
  'certificateVerify',
  'finished',
] as const satisfies readonly MessageName[];
const names12 = [
  'serverHello',
  'certificate',
  'certificateStatus',
  'serverKeyExchange',
  'certificateRequest',
  'serverHelloDone',
  'finished',
] as const satisfies readonly MessageName12[];

const seed = fc.integer({ min: 1, max: 0x7fff_ffff });
const piece = fc.oneof(fc.constant(100_000), fc.integer({ min: 1, max: 600 }));
const fragment = fc.oneof(fc.constant(16_384), fc.integer({ min: 1, max: 300 }));
const runs = { numRuns: 400 };

/** Changes the body and keeps the header right, so that the change is met deep inside. */
const mutateBody = (whole: Buffer, with_: number): Buffer => {
  const body = mutate(whole.subarray(4), new Dice(with_));
  const header = Buffer.from([whole[0]!, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
  return Buffer.concat([header, body]);
};
const swapped = (whole: Buffer, with_: number): Buffer =>
  Buffer.concat([Buffer.from([new Dice(with_).pick(Object.values(handshakeTypes))]), whole.subarray(1)]);
const changes = {
  body: mutateBody,
  bytes: (whole: Buffer, with_: number) => mutate(whole, new Dice(with_)),
  type: swapped,
  twice: (whole: Buffer) => Buffer.concat([whole, whole]),
  none: () => Buffer.alloc(0),
};
const change = fc.constantFrom<keyof typeof changes>(
  'body',
  'body',
  'body',
  'bytes',
  'type',
  'twice',
  'none',
);

describe('TLS 1.3', () => {
  const script = () => ({
    chain: [leaf.der, other.der],
    key: leaf.key,
    certificateRequest: true,
    entryExtensions: extension(extensionTypes.statusRequest, Buffer.from([1, 0, 0, 1, 9])),
  });

  it('survives a server that signs nonsense', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names13), change, seed, piece, fragment, (at, how, with_, size, cut) => {
        const handshake = startHandshake();
        const rewrite = (name: MessageName, whole: Buffer) =>
          name === at ? changes[how](whole, with_) : whole;
        // A changed ServerHello breaks the scripted server's own keys, which is as good.
        const flight = serverFlight({ ...script(), rewrite, fragment: cut }, handshake.takeFlight()!);
        survives(handshake, flight, size);
      }),
      runs,
    );
  });

  it('never proves a chain that somebody changed on the way', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names13), change, seed, piece, (at, how, with_, size) => {
        const handshake = startHandshake();
        const corrupt = (name: MessageName, whole: Buffer) =>
          name === at ? changes[how](whole, with_) : whole;
        const flight = serverFlight({ ...script(), corrupt }, handshake.takeFlight()!);
        survives(handshake, flight, size);
        expect(!handshake.seen.possessionProven || genuine(handshake)).toBe(true);
      }),
      runs,
    );
  });

  it('never finishes on changed records', () => {
    fc.assert(
      fc.property(seed, piece, (with_, size) => {
        const handshake = startHandshake();
        const flight = serverFlight(script(), handshake.takeFlight()!);
        survives(handshake, mutate(flight, new Dice(with_)), size);
        expect(!handshake.seen.possessionProven || genuine(handshake)).toBe(true);
      }),
      runs,
    );
  });
});

describe('TLS 1.2', () => {
  const script = () => ({
    chain: [leaf.der, other.der],
    key: leaf.key,
    scheme: 0x0403,
    suite: 0xc02b,
    ocsp: Buffer.alloc(20, 8),
    certificateRequest: true,
  });

  /** Both flights, as far as the handshake goes. */
  function play(
    server: ScriptedServer12,
    handshake: Handshake,
    size: number,
    last?: (bytes: Buffer) => Buffer,
  ) {
    if (!survives(handshake, server.firstFlight(handshake.takeFlight()!), size)) return;
    const answer = handshake.takeFlight();
    if (!answer) return;
    const second = server.secondFlight(answer);
    survives(handshake, last?.(second) ?? second, size);
  }

  it('survives a server that says nonsense', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names12), change, seed, piece, (at, how, with_, size) => {
        const rewrite = (name: MessageName12, whole: Buffer) =>
          name === at ? changes[how](whole, with_) : whole;
        play(new ScriptedServer12({ ...script(), rewrite }), startHandshake(), size);
      }),
      runs,
    );
  });

  it('never proves a chain that somebody changed on the way', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names12), change, seed, piece, (at, how, with_, size) => {
        const handshake = startHandshake();
        const corrupt = (name: MessageName12, whole: Buffer) =>
          name === at ? changes[how](whole, with_) : whole;
        play(new ScriptedServer12({ ...script(), corrupt }), handshake, size);
        expect(!handshake.seen.possessionProven || genuine(handshake)).toBe(true);
      }),
      runs,
    );
  });

  it('never finishes on a changed Finished', () => {
    fc.assert(
      fc.property(seed, piece, (with_, size) => {
        const handshake = startHandshake();
        let same = false;
        play(new ScriptedServer12(script()), handshake, size, (second) => {
          const mutated = mutate(second, new Dice(with_));
          // What follows the whole flight is of no interest any more.
          same = mutated.subarray(0, second.length).equals(second);
          return mutated;
        });
        expect(handshake.seen.possessionProven).toBe(same);
      }),
      runs,
    );
  });
});

it('arbitrary records never do harm', () => {
  const type = fc.oneof(fc.constantFrom(...Object.values(contentTypes)), fc.integer({ min: 0, max: 255 }));
  const records = fc.array(fc.tuple(type, fc.uint8Array({ maxLength: 200 })), { maxLength: 12 });
  fc.assert(
    fc.property(records, piece, (parts, size) => {
      const handshake = startHandshake();
      handshake.takeFlight();
      const bytes = Buffer.concat(parts.map(([type, content]) => plainRecord(type, Buffer.from(content))));
      survives(handshake, bytes, size);
      expect(handshake.seen.possessionProven).toBe(false);
    }),
    runs,
  );
});

describe.each(fuzzTargets.map((target) => [target.name, target] as const))(
  'bytes thrown at %s',
  (_, target) => {
    it('only ever give a ProbeFailure', () => {
      const fuzzer = new Fuzzer(target);
      const dice = new Dice(20_261_122);
      for (let execution = 0; execution < 2_000; execution++) {
        const finding = fuzzer.once(dice);
        if (finding) expect.fail(`${String(finding.error)} on ${finding.input.toString('hex')}`);
      }
      expect(fuzzer.outcomes.size).toBeGreaterThan(1);
    });
  },
);
