import { generateKeyPairSync } from 'node:crypto';
import { KeyType, Observation, type Target } from '@mecai/proto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Agent,
  CorroborationError,
  type Expectation,
  checkObservation,
  failureClasses,
  judge,
  parseRegistry,
  signObservation,
  verifyObservationSignature,
} from './index.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const target: Target = {
  address: Buffer.from([192, 0, 2, 1]),
  port: 443,
  serverName: 'www.example',
  startTls: '',
  keyType: KeyType.KEY_TYPE_ECDSA,
};
const now = Date.UTC(2026, 10, 22);
const nonce = Buffer.alloc(32, 5);
const chain = [Buffer.from('leaf'), Buffer.from('intermediate')];
const entry = {
  name: 'frankfurt',
  publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
  city: 'Frankfurt',
  country: 'DE',
  latitude: 50.11,
  longitude: 8.68,
  rir: 'ripencc',
  asn: 64500,
};
const registryOf = (...agents: unknown[]) => parseRegistry(JSON.stringify({ version: 1, agents }));
const agents: ReadonlyMap<string, Agent> = registryOf(entry).agents;
const expected: Expectation = { nonce, targets: [target], agents, now, clockToleranceMs: 60_000 };
const observation = (change: Partial<Observation> = {}): Observation => ({
  nonce,
  agent: 'frankfurt',
  target,
  observedAt: now,
  chain,
  possessionProven: true,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
  ...change,
});
const bytes = (change?: Partial<Observation>) => Observation.encode(observation(change)).finish();

describe('observation', () => {
  it('verifies with the key that signed it, and with no byte changed', () => {
    const evidence = signObservation(observation(), privateKey);
    expect(verifyObservationSignature(evidence, publicKey)).toBe(true);
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    expect(verifyObservationSignature(evidence, other)).toBe(false);
    fc.assert(
      fc.property(fc.nat(evidence.observation.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const forged = Uint8Array.from(evidence.observation);
        forged[at]! ^= change;
        expect(verifyObservationSignature({ ...evidence, observation: forged }, publicKey)).toBe(false);
      }),
    );
    expect(verifyObservationSignature({ ...evidence, signature: Buffer.alloc(4096, 0x30) }, publicKey)).toBe(
      false,
    );
  });

  it('counts for the task it answers', () => {
    expect(checkObservation(bytes(), expected)).toMatchObject({ target: 0, agent: { name: 'frankfurt' } });
  });

  it.each<[string, Partial<Observation>]>([
    ['not-asked', { agent: 'paris' }],
    ['other-task', { nonce: Buffer.alloc(32, 6) }],
    ['other-target', { target: { ...target, port: 444 } }],
    ['other-target', { target: { ...target, address: Buffer.from([192, 0, 2, 2]) } }],
    ['other-target', { target: { ...target, serverName: '' } }],
    ['other-target', { target: { ...target, startTls: 'smtp' } }],
    ['other-target', { target: { ...target, keyType: KeyType.KEY_TYPE_RSA } }],
    ['clock', { observedAt: now - 60_001 }],
    ['clock', { observedAt: now + 60_001 }],
  ])('%s: %o', (fault, change) => {
    expect(checkObservation(bytes(change), expected)).toMatchObject({ fault });
  });

  it('malformed bytes are a fault, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        expect(checkObservation(junk, expected)).toHaveProperty('fault');
      }),
    );
  });

  it.each<[string, Partial<Observation>, readonly Uint8Array[], boolean, object]>([
    ['the same chain', {}, chain, true, { verdict: 'match' }],
    ['another leaf', {}, [Buffer.from('other'), chain[1]!], true, { verdict: 'mismatch' }],
    ['another intermediate', {}, [chain[0]!, Buffer.from('other')], true, { verdict: 'mismatch' }],
    ['another intermediate, relaxed', {}, [chain[0]!, Buffer.from('other')], false, { verdict: 'match' }],
    ['one certificate more', {}, [chain[0]!], true, { verdict: 'mismatch' }],
    ['wrong order', {}, chain.toReversed(), true, { verdict: 'mismatch' }],
    [
      'no possession',
      { possessionProven: false },
      chain,
      true,
      { verdict: 'inconclusive', code: 'no-possession' },
    ],
    [
      'a reset',
      { possessionProven: false, chain: [], failure: { class: 'reset', alert: 0, detail: '' } },
      chain,
      true,
      { verdict: 'inconclusive', code: 'reset' },
    ],
    ...['', 'Reset', 'reset ', 'gremlins', 'toString', 'x'.repeat(1_000_000)].map(
      (name): [string, Partial<Observation>, readonly Uint8Array[], boolean, object] => [
        `a failure that the agent calls ${JSON.stringify(name.slice(0, 20))}`,
        { possessionProven: false, chain: [], failure: { class: name, alert: 0, detail: '' } },
        chain,
        true,
        { verdict: 'inconclusive', code: 'unknown-failure' },
      ],
    ),
    ['possession of nothing', { chain: [] }, chain, true, { verdict: 'inconclusive' }],
  ])('%s', (_, change, wanted, intermediates, judgement) => {
    expect(judge(observation(change), wanted, intermediates)).toEqual(expect.objectContaining(judgement));
  });

  it.each(failureClasses)('failed: %s', (name) => {
    const failure = { class: name, alert: 0, detail: '' };
    expect(judge(observation({ possessionProven: false, failure }), chain, true)).toEqual({
      verdict: 'inconclusive',
      code: name,
    });
  });
});

describe('registry', () => {
  it('reads its agents', () => {
    expect(agents.get('frankfurt')).toMatchObject({ country: 'DE', rir: 'ripencc', asn: 64500 });
  });

  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
  it.each<[string, unknown, RegExp]>([
    ['unknown member', { ...entry, contry: 'DE' }, /agents\[0\]: unknown member "contry"/],
    ['country', { ...entry, country: 'Germany' }, /agents\[0\]\.country/],
    ['latitude', { ...entry, latitude: 91 }, /agents\[0\]\.latitude/],
    ['rir', { ...entry, rir: 'ripe' }, /agents\[0\]\.rir: one of/],
    ['asn', { ...entry, asn: 1.5 }, /agents\[0\]\.asn/],
    ['name', { ...entry, name: 'a.b' }, /agents\[0\]\.name/],
    ['key', { ...entry, publicKey: 'AAAA' }, /agents\[0\]\.publicKey/],
    [
      'curve',
      { ...entry, publicKey: p384.export({ format: 'der', type: 'spki' }).toString('base64') },
      /not P-256/,
    ],
  ])('names what is wrong: %s', (_, agent, message) => {
    expect(() => registryOf(agent)).toThrow(CorroborationError);
    expect(() => registryOf(agent)).toThrow(message);
  });

  it('holds each name and each key once', () => {
    expect(() => registryOf(entry, { ...entry, name: 'paris' })).toThrow(/key of paris twice/);
    expect(() => registryOf(entry, entry)).toThrow(/name frankfurt twice/);
    const natsKey = `U${'A'.repeat(55)}`;
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    const paris = { ...entry, name: 'paris', publicKey: other };
    expect(registryOf({ ...entry, natsKey }, paris).agents.size).toBe(2);
    expect(() => registryOf({ ...entry, natsKey }, { ...paris, natsKey })).toThrow(/key of paris twice/);
  });
});
