import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Judgement,
  type Perspective,
  type QuorumPolicy,
  type Verdict,
  allowedNonCorroborations,
  defaultQuorumPolicy as policy,
  drawPerspectives,
  evaluateQuorum,
  rirs,
} from './index.ts';

const cities: readonly [string, string, Perspective['rir'], number, number][] = [
  ['frankfurt', 'DE', 'ripencc', 50.11, 8.68],
  ['london', 'GB', 'ripencc', 51.51, -0.13],
  ['virginia', 'US', 'arin', 38.9, -77.45],
  ['oregon', 'US', 'arin', 45.6, -121.18],
  ['singapore', 'SG', 'apnic', 1.35, 103.82],
  ['sydney', 'AU', 'apnic', -33.87, 151.21],
  ['sao-paulo', 'BR', 'lacnic', -23.55, -46.63],
  ['cape-town', 'ZA', 'afrinic', -33.92, 18.42],
];
const perspectives: readonly Perspective[] = cities.map(([name, country, rir, latitude, longitude], i) => ({
  name,
  country,
  rir,
  latitude,
  longitude,
  keyId: `key-${i}`,
  asn: 64500 + i,
}));
const six = perspectives.slice(0, 6);

const outcomeOf = (letters: string, asked = six, rules: QuorumPolicy = policy) =>
  evaluateQuorum(rules, asked, judgementsOf(letters, asked)).outcome;

/** m(atch), x (mismatch), i(nconclusive), . (pending); a letter a perspective, a word an address. */
function judgementsOf(words: string, asked: readonly Perspective[] = six): Map<string, Judgement>[] {
  const verdicts: Record<string, Verdict> = { m: 'match', x: 'mismatch', i: 'inconclusive' };
  return words.split(' ').map(
    (letters) =>
      new Map(
        asked.flatMap(({ name }, i): [string, Judgement][] => {
          const verdict = verdicts[letters[i]!];
          return verdict ? [[name, { verdict }]] : [];
        }),
      ),
  );
}

describe('quorum', () => {
  it.each([
    ['mmmmmm', 'corroborated'],
    ['mmmm..', 'corroborated'],
    ['mmmmxx', 'corroborated'],
    ['mmmmii', 'corroborated'],
    ['mmm...', 'pending'],
    ['mmmxxx', 'mismatch'],
    ['xxx...', 'mismatch'],
    ['xx....', 'pending'],
    ['xxxiii', 'mismatch'],
    ['mmmiii', 'inconclusive'],
    ['mmmxxi', 'inconclusive'],
    ['iiiiii', 'inconclusive'],
    ['xxiiii', 'inconclusive'],
    // Three more mismatches would make it one: not yet known.
    ['iii...', 'pending'],
    ['iiii..', 'inconclusive'],
    ['iiiix.', 'inconclusive'],
    ['iiixx.', 'pending'],
    ['......', 'pending'],
  ])('six perspectives, %s: %s', (letters, outcome) => {
    expect(outcomeOf(letters)).toBe(outcome);
  });

  it('allows what the table allows', () => {
    expect([0, 1, 2, 5, 6, 7, 30].map(allowedNonCorroborations)).toEqual([0, 0, 1, 1, 2, 2, 2]);
  });

  it('five perspectives allow one', () => {
    const five = perspectives.slice(0, 5);
    const rules = { ...policy, perspectives: 5 };
    expect(outcomeOf('mmmm.', five, rules)).toBe('corroborated');
    expect(outcomeOf('mmmxx', five, rules)).toBe('mismatch');
  });

  it('matches from one region are not enough', () => {
    const european = six.map((p) => ({ ...p, rir: 'ripencc' as const }));
    expect(outcomeOf('mmmmmm', european)).not.toBe('corroborated');
    const two = european.map((p, i) => (i === 5 ? { ...p, rir: 'arin' as const } : p));
    expect(outcomeOf('mmmm..', two)).toBe('pending');
    expect(outcomeOf('mmmm.m', two)).toBe('corroborated');
  });

  it('matches from one network are not enough', () => {
    const one = six.map((p) => ({ ...p, asn: 64500 }));
    expect(outcomeOf('mmmmmm', one)).not.toBe('corroborated');
    expect(outcomeOf('mmmmmm', one, { ...policy, minNetworks: 1 })).toBe('corroborated');
  });

  it.each([
    ['name', (p: Perspective) => ({ ...p, name: six[0]!.name })],
    ['key', (p: Perspective) => ({ ...p, keyId: six[0]!.keyId })],
    ['place', (p: Perspective) => ({ ...p, latitude: six[0]!.latitude + 4.4, longitude: six[0]!.longitude })],
  ])('a second perspective with the same %s does not count', (_, change) => {
    const asked = six.map((p, i) => (i === 5 ? change(p) : p));
    const result = evaluateQuorum(policy, asked, judgementsOf('mmmmmm', asked));
    expect(result.counted).toHaveLength(5);
    expect(result.outcome).not.toBe('corroborated');
  });

  it('two liars out of six can neither have a wrong chain vouched for nor hide it as a local fault', () => {
    fc.assert(
      fc.property(
        fc.subarray([0, 1, 2, 3, 4, 5], { maxLength: 2 }),
        fc.constantFrom('m', 'x', 'i'),
        (liars, lie) => {
          const truth = Array.from('xxxxxx', (t, i) => (liars.includes(i) ? lie : t)).join('');
          expect(outcomeOf(truth)).toBe('mismatch');
        },
      ),
    );
  });

  const letters = fc.array(fc.constantFrom('m', 'x', 'i', '.'), { minLength: 6, maxLength: 8 });

  it('an outcome other than pending never changes with later answers', () => {
    fc.assert(
      fc.property(
        letters,
        fc.array(fc.constantFrom('m', 'x', 'i'), { minLength: 8, maxLength: 8 }),
        (now, later) => {
          const asked = perspectives.slice(0, now.length);
          const before = outcomeOf(now.join(''), asked);
          const after = now.map((letter, i) => (letter === '.' ? later[i]! : letter)).join('');
          if (before !== 'pending') expect(outcomeOf(after, asked)).toBe(before);
          expect(outcomeOf(after, asked)).not.toBe('pending');
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('pending means that some answers would decide otherwise than others', () => {
    fc.assert(
      fc.property(letters, (now) => {
        const asked = perspectives.slice(0, now.length);
        if (outcomeOf(now.join(''), asked) !== 'pending') return;
        const completions = ['m', 'x', 'i'].map((letter) =>
          outcomeOf(now.join('').replaceAll('.', letter), asked),
        );
        expect(new Set(completions).size).toBeGreaterThan(1);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('quorum over two addresses', () => {
  const three: QuorumPolicy = { ...policy, perspectives: 3 };
  const asked = [perspectives[0]!, perspectives[2]!, perspectives[4]!];
  const outcome = (words: string) => outcomeOf(words, asked, three);
  const letter = fc.constantFrom('m', 'x', 'i', '.');
  const word = fc.string({ unit: letter, minLength: 3, maxLength: 3 });
  const words = fc.tuple(word, word).map(([ipv4, ipv6]) => `${ipv4} ${ipv6}`);

  it.each([
    ['mmmmmm mmmmmm', 'corroborated'],
    ['mmmm.. mmmm..', 'corroborated'],
    // Four match at each address, but only two at both.
    ['mmmmii iimmmm', 'inconclusive'],
    ['mmmmxx xxmmmm', 'mismatch'],
    ['mmmmmm ......', 'pending'],
    ['mmmmmm xxx...', 'mismatch'],
    // An address out of reach hides no attack at the other.
    ['iiiiii ......', 'pending'],
    ['iiiiii xxx...', 'mismatch'],
    ['iiiiii mmmm..', 'inconclusive'],
  ])('six perspectives, %s: %s', (letters, expected) => {
    expect(outcomeOf(letters)).toBe(expected);
    expect(outcomeOf(letters.split(' ').toReversed().join(' '))).toBe(expected);
  });

  it('is the quorum over the worst verdict of each perspective', () => {
    fc.assert(
      fc.property(words, (now) => {
        if (now.includes('.')) return;
        const [ipv4, ipv6] = now.split(' ');
        const worst = Array.from(
          ipv4!,
          (one, i) => ['x', 'i', 'm'].find((v) => v === one || v === ipv6![i])!,
        );
        expect(outcome(now)).toBe(outcome(worst.join('')));
      }),
    );
  });

  it('is decided exactly when the missing answers cannot change it', () => {
    /** Outcomes of everything that may still be said. */
    const ends = (now: string): Set<string> =>
      now.includes('.')
        ? new Set(['m', 'x', 'i'].flatMap((one) => [...ends(now.replace('.', one))]))
        : new Set([outcome(now)]);
    fc.assert(
      fc.property(words, (now) => {
        const possible = ends(now);
        expect(outcome(now)).toBe(possible.size === 1 ? [...possible][0] : 'pending');
      }),
      { numRuns: 300 },
    );
  });
});

describe('draw', () => {
  const key = Buffer.alloc(32, 1);
  const nonces = fc.uint8Array({ minLength: 32, maxLength: 32 });

  it('always meets the policy', () => {
    fc.assert(
      fc.property(nonces, (nonce) => {
        const drawn = drawPerspectives(policy, perspectives, key, nonce);
        const result = evaluateQuorum(policy, drawn, judgementsOf('mmmmmm', drawn));
        expect(result.counted).toHaveLength(6);
        expect(result.outcome).toBe('corroborated');
        expect(result.regions).toBe(rirs.length);
      }),
    );
  });

  it('depends on key and nonce, and on nothing else', () => {
    const names = (k: Uint8Array, n: Uint8Array, from = perspectives) =>
      drawPerspectives(policy, from, k, n).map(({ name }) => name);
    const nonce = Buffer.alloc(32, 7);
    expect(names(key, nonce, perspectives.toReversed())).toEqual(names(key, nonce));
    const others = Array.from({ length: 20 }, (_, i) => names(key, Buffer.alloc(32, i)).toSorted().join());
    expect(new Set(others).size).toBeGreaterThan(5);
    const otherKeys = Array.from({ length: 20 }, (_, i) =>
      names(Buffer.alloc(32, i), nonce).toSorted().join(),
    );
    expect(new Set(otherKeys).size).toBeGreaterThan(5);
  });

  it('asks every perspective about equally often', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 1000; i++) {
      const nonce = Buffer.alloc(32);
      nonce.writeUInt32BE(i);
      for (const { name } of drawPerspectives(policy, perspectives, key, nonce)) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    for (const { name } of perspectives) expect(counts.get(name)).toBeGreaterThan(300);
  });

  it('refuses a registry that cannot meet the policy', () => {
    const nonce = Buffer.alloc(32);
    expect(() => drawPerspectives(policy, six.slice(0, 5), key, nonce)).toThrow(/too-few|gives 5/);
    const crowded = six.map((p) => ({ ...p, latitude: 50, longitude: 8 }));
    expect(() => drawPerspectives(policy, crowded, key, nonce)).toThrow(/gives 1 /);
    const oneRegion = six.map((p) => ({ ...p, rir: 'arin' as const }));
    expect(() => drawPerspectives(policy, oneRegion, key, nonce)).toThrow(/1 RIR/);
  });
});
