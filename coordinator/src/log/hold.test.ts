import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type HoldFacts,
  type HoldPolicy,
  type KnownCertificate,
  holdEnd,
  holdLength,
  never,
} from './hold.ts';

const hour = 3_600_000;
const day = 24 * hour;
const first = Date.UTC(2026, 10, 22);
const ca = Uint8Array.of(1);
const off: HoldPolicy = {
  maxMs: 72 * hour,
  lifetimeShare: 0.1,
  rules: [],
  waivers: { successors: false, approvals: false },
};
const on: HoldPolicy = { ...off, waivers: { scts: 2, successors: true, expedite: 2, approvals: true } };
const plain: HoldFacts = {
  firstRequest: first,
  notBefore: first - day,
  notAfter: first + 89 * day,
  ca,
  organizations: ['example ca'],
  names: { dns: ['www.example.org'], ip: [] },
  trustContexts: ['MOZ'],
  authenticated: true,
  sameKey: [],
  declaredBy: [],
  scts: [],
  expedited: [],
};
const cleared: KnownCertificate = { sha256: 'aa', state: 'cleared', ca, names: plain.names };
const said = (...facts: [string, number][]) => facts.map(([who, at]) => ({ who, at }));
const end = (facts: Partial<HoldFacts>, policy = on) => holdEnd(policy, { ...plain, ...facts });

describe('the length of a hold', () => {
  const length = (policy: Partial<HoldPolicy>, facts: Partial<HoldFacts> = {}) =>
    holdLength({ ...off, ...policy }, { ...plain, ...facts });

  it('is three days for a certificate of 90 days', () => {
    expect(length({})).toBe(72 * hour);
  });

  it('is a tenth of the lifetime for a certificate of six days', () => {
    expect(length({}, { notAfter: plain.notBefore + 6 * day })).toBe(0.6 * day);
  });

  it('is nothing for a certificate that ends before it begins', () => {
    expect(length({}, { notAfter: plain.notBefore - day })).toBe(0);
  });

  it.each([
    ['CA', { ca: 'example ca' }, {}, { organizations: ['another ca'] }],
    ['trust context', { trustContext: 'MOZ' }, {}, { trustContexts: ['CHROME'] }],
    ['requester', { requester: 'authenticated' as const }, {}, { authenticated: false }],
  ])('may differ by %s', (_, condition, fits, fitsNot) => {
    const rules = [{ ...condition, maxMs: hour, lifetimeShare: 1 }];
    expect(length({ rules }, fits)).toBe(hour);
    expect(length({ rules }, fitsNot)).toBe(72 * hour);
  });

  it('is by the first rule that fits', () => {
    const rules = [
      { trustContext: 'CHROME', maxMs: 1, lifetimeShare: 1 },
      { ca: 'example ca', maxMs: 2, lifetimeShare: 1 },
      { maxMs: 3, lifetimeShare: 1 },
    ];
    expect(length({ rules })).toBe(2);
  });

  it('is the longest among the trust contexts of the chain', () => {
    const rules = [{ trustContext: 'CHROME', maxMs: hour, lifetimeShare: 1 }];
    expect(length({ rules }, { trustContexts: ['CHROME'] })).toBe(hour);
    expect(length({ rules }, { trustContexts: ['CHROME', 'MOZ'] })).toBe(72 * hour);
  });
});

describe('a renewal', () => {
  it('passes at once: same key, same names, same CA, the earlier one cleared', () => {
    expect(end({ sameKey: [cleared] }, off)).toEqual({ at: first, by: 'renewal', certificate: 'aa' });
  });

  it('with fewer names passes at once', () => {
    const names = { dns: ['mail.example.org', 'www.example.org'], ip: [] };
    expect(end({ sameKey: [{ ...cleared, names }] }, off).by).toBe('renewal');
  });

  it.each([
    ['with a new name', { ...cleared, names: { dns: ['mail.example.org'], ip: [] } }],
    ['of another CA', { ...cleared, ca: Uint8Array.of(2) }],
    ['of what is held itself', { ...cleared, state: 'held' as const }],
    ['of what has expired', { ...cleared, state: 'expired' as const }],
  ])('%s is held', (_, earlier) => {
    expect(end({ sameKey: [earlier] }, off)).toEqual({ at: first + 72 * hour, by: 'hold' });
  });

  it('is no sum of several earlier certificates', () => {
    const names = { dns: ['a.test', 'b.test'], ip: [] };
    const earlier = names.dns.map((name) => ({ ...cleared, names: { dns: [name], ip: [] } }));
    expect(end({ names, sameKey: earlier }, off).by).toBe('hold');
  });

  it('is objected to where a certificate with its key is, whatever else there is', () => {
    const objected = { ...cleared, sha256: 'bb', state: 'objected' as const };
    const everything = {
      sameKey: [cleared, objected],
      declaredBy: [cleared],
      approved: first,
      expedited: said(['a', first], ['b', first]),
    };
    expect(end(everything)).toEqual({ at: never, by: 'objection', certificate: 'bb' });
  });
});

describe('a waiver', () => {
  const cases: [string, Partial<HoldFacts>, ReturnType<typeof end>][] = [
    [
      'by SCTs of two operators, older than the hold',
      { scts: said(['a', first - 100 * hour], ['b', first - 80 * hour]) },
      { at: first, by: 'scts' },
    ],
    [
      'by SCTs younger than the hold: it counts from the second',
      { scts: said(['a', first - 100 * hour], ['b', first - 24 * hour]) },
      { at: first + 48 * hour, by: 'scts' },
    ],
    [
      'by a successor declared in advance',
      { declaredBy: [cleared] },
      { at: first, by: 'successor', certificate: 'aa' },
    ],
    [
      'by two other VAs',
      { expedited: said(['a', first + hour], ['b', first + 2 * hour]) },
      { at: first + 2 * hour, by: 'expedite' },
    ],
    ['by an approval', { approved: first + hour }, { at: first + hour, by: 'approval' }],
  ];

  it.each(cases)('%s', (_, facts, expected) => {
    expect(end(facts)).toEqual(expected);
  });

  it.each(cases)('%s is none where it is not configured', (_, facts) => {
    expect(end(facts, off)).toEqual({ at: first + 72 * hour, by: 'hold' });
  });

  it.each([
    ['one operator', { scts: said(['a', 0], ['a', 1]) }],
    ['one other VA', { expedited: said(['a', first], ['a', first + 1]) }],
    ['a declaration by what is held itself', { declaredBy: [{ ...cleared, state: 'held' as const }] }],
    ['a declaration by what is objected to', { declaredBy: [{ ...cleared, state: 'objected' as const }] }],
    ['a declaration for other names', { declaredBy: [{ ...cleared, names: { dns: ['x.test'], ip: [] } }] }],
  ])('is not given by %s', (_, facts) => {
    expect(end(facts)).toEqual({ at: first + 72 * hour, by: 'hold' });
  });
});

describe('whatever the facts', () => {
  const time = fc.integer({ min: first - 10 * day, max: first + 10 * day });
  const name = fc.constantFrom('a.test', 'b.test', '*.test.test');
  const names = fc.record({ dns: fc.array(name, { maxLength: 3 }), ip: fc.constant([]) });
  const known = fc.record({
    sha256: fc.constantFrom('aa', 'bb'),
    state: fc.constantFrom('held', 'cleared', 'objected', 'expired'),
    ca: fc.constantFrom(ca, Uint8Array.of(2)),
    names,
  });
  const vouched = fc.array(fc.record({ who: fc.constantFrom('a', 'b', 'c'), at: time }), { maxLength: 4 });
  const anyFacts: fc.Arbitrary<HoldFacts> = fc.record({
    firstRequest: fc.constant(first),
    notBefore: time,
    notAfter: time,
    ca: fc.constant(ca),
    organizations: fc.constant(['example ca']),
    names,
    trustContexts: fc.subarray(['MOZ', 'CHROME']),
    authenticated: fc.boolean(),
    sameKey: fc.array(known, { maxLength: 3 }),
    declaredBy: fc.array(known, { maxLength: 2 }),
    scts: vouched,
    expedited: vouched,
    approved: fc.option(time, { nil: undefined }),
  });
  const check = (property: (facts: HoldFacts) => void) =>
    fc.assert(fc.property(anyFacts, property), { numRuns: 1_000 });

  it('a hold ends between the first sight and its full length, or never for an objection', () => {
    check((facts) => {
      const { at, by } = holdEnd(on, facts);
      const objected = facts.sameKey.some(({ state }) => state === 'objected');
      expect(by === 'objection').toBe(objected);
      if (objected) return;
      expect(at).toBeGreaterThanOrEqual(first);
      expect(at).toBeLessThanOrEqual(first + holdLength(on, facts));
      if (by === 'hold') expect(at).toBe(first + holdLength(on, facts));
    });
  });

  it('without waivers only a renewal shortens it', () => {
    check((facts) => {
      const bare = { ...facts, scts: [], expedited: [], declaredBy: [], approved: undefined };
      expect(holdEnd(off, facts)).toEqual(holdEnd(on, bare));
    });
  });

  it('saying the same twice changes nothing', () => {
    check((facts) => {
      const twice = {
        ...facts,
        scts: [...facts.scts, ...facts.scts],
        expedited: [...facts.expedited, ...facts.expedited],
      };
      expect(holdEnd(on, twice)).toEqual(holdEnd(on, facts));
    });
  });

  it('fewer than two who vouch are nobody', () => {
    check((facts) => {
      const alone = <T extends { who: string }>(all: readonly T[]) =>
        all.map((one) => ({ ...one, who: 'a' }));
      const few = { ...facts, scts: alone(facts.scts), expedited: alone(facts.expedited) };
      expect(holdEnd(on, few)).toEqual(holdEnd(on, { ...facts, scts: [], expedited: [] }));
    });
  });
});
