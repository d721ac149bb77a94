import { createHash, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientError } from '../error.ts';
import type { VaEntry, VaList } from '../va-list/va-list.ts';
import { brokenCount, chooseVas, type ChooseOptions } from './choose.ts';
import { parseRules } from './rules.ts';

const va = (id: string, country: string, fields: Partial<VaEntry> = {}): VaEntry => ({
  id,
  name: id,
  operator: `CA ${id}`,
  country,
  vrp: `https://${id}.example/vrp`,
  roots: [],
  caKeys: [],
  status: 'active',
  codepoint: 65_300,
  ...fields,
});
const listOf = (...vas: VaEntry[]): VaList => ({
  version: 1,
  issuer: 'vendor',
  issuedAt: new Date(0),
  expires: new Date(1),
  vas,
});
const world = listOf(
  ...['DE', 'FR', 'US', 'CN', 'BR'].flatMap((country) => [
    va(`${country}1`, country),
    va(`${country}2`, country),
  ]),
);
const rules = (json: object) => parseRules(Buffer.from(JSON.stringify(json)));
/** The same every time. */
function stream(seed: number): (octets: number) => Uint8Array {
  let count = 0;
  return (octets) => createHash('sha256').update(`${seed} ${count++}`).digest().subarray(0, octets);
}
const chosen = (json: object, options: Partial<ChooseOptions> = {}, list = world) =>
  chooseVas(list, { random: randomBytes, rules: rules(json), ...options }).vas;
function code(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return error.code;
  }
}

describe('a random choice', () => {
  test('takes three different ones, one of them to vouch, and is recorded with its list', () => {
    const choice = chooseVas(world, { random: randomBytes });
    expect(new Set(choice.vas.map(({ id }) => id)).size).toBe(3);
    expect(choice).toMatchObject({ accept: 1, perspectives: [], list: world });
  });

  test('takes every set as often as any other', () => {
    const list = listOf(...'abcdef'.split('').map((id) => va(id, 'DE')));
    const counts = new Map<string, number>();
    const random = stream(1);
    const draws = 10_000;
    for (let i = 0; i < draws; i++) {
      const set = chooseVas(list, { random })
        .vas.map(({ id }) => id)
        .toSorted()
        .join('');
      counts.set(set, (counts.get(set) ?? 0) + 1);
    }
    expect(counts.size).toBe(20);
    const expected = draws / 20;
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 19 degrees of freedom: above 43.8 once in a thousand.
    expect(chiSquare).toBeLessThan(43.8);
  });

  test('never favours small numbers', () => {
    // The first draw lies in the part of 2^32 that six does not divide.
    const answers = [0xffff_fffe, 5, 0, 0, 0, 0];
    const random = () => {
      const octets = Buffer.alloc(4);
      octets.writeUInt32BE(answers.shift() ?? 0);
      return octets;
    };
    const list = listOf(...'abcdef'.split('').map((id) => va(id, 'DE')));
    chooseVas(list, { random });
    expect(answers).toEqual([]);
  });

  test('takes one VA of an operator, and none that is retired or distrusted', () => {
    const list = listOf(
      va('a', 'DE', { operator: 'CA' }),
      va('b', 'DE', { operator: 'CA' }),
      va('c', 'DE', { status: 'retired' }),
      va('d', 'DE', { status: 'distrusted' }),
      va('e', 'DE'),
    );
    for (let seed = 0; seed < 50; seed++) {
      const ids = chosen({}, { random: stream(seed) }, list).map(({ id }) => id);
      expect(ids).toHaveLength(2);
      expect(ids).toContain('e');
    }
    expect(code(() => chosen({ accept: 3 }, {}, list))).toBe('too-few-vas');
    expect(code(() => chosen({}, {}, listOf(va('c', 'DE', { status: 'retired' }))))).toBe('too-few-vas');
  });
});

describe('a regional choice', () => {
  test('takes no statement from a country', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 8 }), (seed, choose) => {
        const vas = chosen({ choose, rules: [{ vas: { notIn: ['CN', 'US'] } }] }, { random: stream(seed) });
        expect(vas).toHaveLength(Math.min(choose, 6));
        expect(vas.every(({ country }) => !['CN', 'US'].includes(country))).toBe(true);
      }),
    );
  });

  test('takes them from some countries only; all rules count', () => {
    const both = { rules: [{ vas: { in: ['DE', 'FR'] } }, { vas: { notIn: ['FR'] } }] };
    expect(chosen(both).map(({ country }) => country)).toEqual(['DE', 'DE']);
    expect(code(() => chosen({ rules: [{ vas: { in: ['JP'] } }] }))).toBe('too-few-vas');
  });

  const abroad = {
    choose: 16,
    rules: [{ when: { destination: { notIn: ['@client'] } }, vas: { notIn: ['@client'] } }],
  };
  test("distrusts the client's own country for servers abroad", () => {
    const own = (options: Partial<ChooseOptions>) =>
      chosen(abroad, options).filter(({ country }) => country === 'CN').length;
    expect(own({ clientCountry: 'CN', destinationCountry: 'US' })).toBe(0);
    expect(own({ clientCountry: 'CN', destinationCountry: 'CN' })).toBe(2);
  });

  test('with a country that is not known, applies the rule, or says that it cannot', () => {
    expect(chosen(abroad, { clientCountry: 'CN' })).toHaveLength(8);
    expect(code(() => chosen(abroad, { destinationCountry: 'CN' }))).toBe('country-unknown');
    const both = { when: { client: { in: ['DE'] } }, vas: { in: ['DE', 'FR'] } };
    expect(chosen({ choose: 16, rules: [both] })).toHaveLength(4);
    expect(chosen({ choose: 16, rules: [both] }, { clientCountry: 'US' })).toHaveLength(10);
  });

  test('hands on what perspectives have to meet, with countries in place of names', () => {
    const json = {
      rules: [
        { perspectives: [{ notIn: ['@client'], atLeast: 3 }] },
        { when: { client: { in: ['DE'] } }, perspectives: [{ in: ['US'], atMost: 0 }] },
      ],
    };
    const choice = chooseVas(world, { random: randomBytes, rules: rules(json), clientCountry: 'CN' });
    expect(choice.perspectives).toEqual([{ notIn: ['CN'], atLeast: 3 }]);
  });
});

describe('what perspectives have to meet', () => {
  const at = (country: string, ipv4: 'match' | 'mismatch' = 'match') =>
    ({ country, rir: 'apnic', asn: 1, ipv4 }) as const;
  const seen = [at('DE'), at('FR'), at('US'), at('CN'), at('CN'), at('BR', 'mismatch')];
  test.each([
    ['three outside', [{ notIn: ['CN'], atLeast: 3 }], undefined],
    ['four outside', [{ notIn: ['CN'], atLeast: 4 }], '3 perspectives outside CN'],
    ['one in either', [{ in: ['DE', 'JP'], atLeast: 1 }], undefined],
    ['dissent does not count', [{ in: ['BR'], atLeast: 1 }], '0 perspectives in BR'],
    ['none in', [{ in: ['CN'], atMost: 0 }], '2 perspectives in CN corroborate, where 0 may'],
    [
      'two rules',
      [
        { in: ['DE'], atLeast: 1 },
        { in: ['US'], atLeast: 2 },
      ],
      '1 perspectives in US',
    ],
    ['no rule', [], undefined],
  ])('%s', (_, counts, broken) => {
    const found = brokenCount(seen, counts);
    if (broken === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(broken);
  });
});

describe('rules that are none', () => {
  test.each<[string, unknown]>([
    ['no object', []],
    ['unknown members', { choice: 3 }],
    ['none chosen', { choose: 0 }],
    ['more to accept than chosen', { choose: 2, accept: 3 }],
    ['more to accept than chosen by default', { accept: 4 }],
    ['a rule about nothing', { rules: [{ when: { client: { in: ['DE'] } } }] }],
    ['in and not in', { rules: [{ vas: { in: ['DE'], notIn: ['FR'] } }] }],
    ['neither', { rules: [{ vas: {} }] }],
    ['an empty list', { rules: [{ vas: { in: [] } }] }],
    ['a country in small letters', { rules: [{ vas: { in: ['de'] } }] }],
    ['a name that stands for nothing', { rules: [{ vas: { in: ['@server'] } }] }],
    ['no number', { rules: [{ perspectives: [{ in: ['DE'] }] }] }],
    ['a number in a place', { rules: [{ vas: { in: ['DE'], atLeast: 1 } }] }],
    ['a negative number', { rules: [{ perspectives: [{ in: ['DE'], atLeast: -1 }] }] }],
  ])('%s', (_, json) => {
    expect(code(() => rules(json as object))).toBe('rules-malformed');
  });

  test('any JSON, any octets', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.uint8Array(), (json, bytes) => {
        expect(code(() => parseRules(Buffer.from(json)))).toMatch(/^(none|rules-malformed)$/);
        // `{}` is all defaults.
        expect(code(() => parseRules(bytes))).toMatch(/^(none|rules-malformed)$/);
      }),
      { numRuns: 1_000 },
    );
    const deep = `${'{"rules":['.repeat(5_000)}${']}'.repeat(5_000)}`;
    expect(code(() => parseRules(Buffer.from(deep)))).toBe('rules-malformed');
  });
});
