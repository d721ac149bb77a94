import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { RoundTrip } from '@mecai/proto';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Agent, parseAgent } from './registry.ts';
import { PlaceDoubts, leastRoundTripMs, signEcho, signRoundTrip } from './round-trip.ts';

const keys = new Map<string, ReturnType<typeof newKey>>();
const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
function agent(name: string, latitude: number, longitude: number, key = keys.get(name) ?? newKey()): Agent {
  keys.set(name, key);
  const publicKey = key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const place = { city: name, country: 'XX', latitude, longitude, rir: 'ripencc', asn: 1 };
  return parseAgent({ name, publicKey, ...place }, name);
}
const frankfurt = agent('frankfurt', 50.11, 8.68);
const sydney = agent('sydney', -33.87, 151.21);
const offenbach = agent('offenbach', 50.1, 8.76);

let agents: Map<string, Agent>;
let now: number;
let doubts: PlaceDoubts;
const registerAll = (...all: Agent[]) => (agents = new Map(all.map((one) => [one.name, one])));
beforeEach(() => {
  registerAll(frankfurt, sydney, offenbach);
  now = 0;
  doubts = new PlaceDoubts(
    () => ({ agents }),
    () => now,
  );
});

const privateKey = ({ name }: Agent) => keys.get(name)!.privateKey;
function trip(asker: Agent, peer: Agent, ms: number): RoundTrip {
  const nonce = randomBytes(32);
  const echo = signEcho(asker.name, peer.name, nonce, privateKey(peer));
  return signRoundTrip(
    asker.name,
    { peer: peer.name, micros: Math.ceil(ms * 1000), nonce, echo },
    privateKey(asker),
  );
}

describe('the shortest round trip between two places', () => {
  it('Frankfurt and Sydney: about 109 ms in vacuum, a hundred kilometres and half a percent allowed', () => {
    // 16,486 km; 299.792458 km a millisecond.
    expect(leastRoundTripMs(frankfurt, sydney)).toBeCloseTo((2 * (16_486 * 0.995 - 100)) / 299.792458, 0);
    expect(leastRoundTripMs(frankfurt, offenbach)).toBe(0);
  });

  const place = fc.record({
    latitude: fc.double({ min: -90, max: 90, noNaN: true }),
    longitude: fc.double({ min: -180, max: 180, noNaN: true }),
  });

  it('is the same both ways, and never more than half around the earth', () => {
    fc.assert(
      fc.property(place, place, (a, b) => {
        expect(leastRoundTripMs(a, b)).toBeCloseTo(leastRoundTripMs(b, a), 9);
        expect(leastRoundTripMs(a, b)).toBeLessThan(134);
      }),
    );
  });

  it('never doubts two who are where they say, or within fifty kilometres, however light takes its way', () => {
    fc.assert(
      fc.property(place, place, fc.double({ min: 1.0001, max: 10, noNaN: true }), (a, b, detour) => {
        // At the speed of light along the ellipsoid, 0.5 % shorter at worst, from the near ends of both cities.
        const length = Math.max(0, kilometres(a, b) * 0.995 - 100);
        const took = ((2 * length) / 299.792458) * detour;
        registerAll(agent('a', a.latitude, a.longitude), agent('b', b.latitude, b.longitude));
        doubts.hear('a', trip(agents.get('a')!, agents.get('b')!, took));
        expect(doubts.of('a')).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  it('doubts whoever answers sooner', () => {
    fc.assert(
      fc.property(place, place, fc.double({ min: 0, max: 0.99, noNaN: true }), (a, b, share) => {
        registerAll(agent('a', a.latitude, a.longitude), agent('b', b.latitude, b.longitude));
        const least = leastRoundTripMs(a, b);
        fc.pre(least > 1);
        doubts.hear('a', trip(agents.get('a')!, agents.get('b')!, least * share));
        expect([doubts.of('a').length, doubts.of('b').length]).toEqual([1, 1]);
      }),
      { numRuns: 50 },
    );
  });

  /** By the law of cosines, not as the package has it. */
  function kilometres(a: { latitude: number; longitude: number }, b: typeof a): number {
    const vector = ({ latitude, longitude }: typeof a) => {
      const [φ, λ] = [(latitude * Math.PI) / 180, (longitude * Math.PI) / 180];
      return [Math.cos(φ) * Math.cos(λ), Math.cos(φ) * Math.sin(λ), Math.sin(φ)] as const;
    };
    const [u, v] = [vector(a), vector(b)];
    const chord = Math.hypot(u[0] - v[0], u[1] - v[1], u[2] - v[2]);
    return 2 * 6371.0088 * Math.asin(Math.min(1, chord / 2));
  }
});

describe('doubts', () => {
  const tooShort = () => trip(frankfurt, sydney, 2.3);

  it('are of both, in words, with the one on the other side named', () => {
    doubts.hear('frankfurt', tooShort());
    expect(doubts.of('sydney')).toEqual([
      'place: frankfurt is 2.3 ms away and back, light takes 108.7 ms: one of the two is not where it says',
    ]);
    expect(doubts.of('frankfurt')[0]).toContain('sydney is 2.3 ms');
    expect(doubts.of('offenbach')).toEqual([]);
  });

  it('measured both ways are one, the shorter', () => {
    doubts.hear('frankfurt', tooShort());
    doubts.hear('sydney', trip(sydney, frankfurt, 1.1));
    expect(doubts.of('frankfurt')).toEqual([expect.stringContaining('sydney is 1.1 ms')]);
  });

  it('are forgotten when the same pair says otherwise, when nobody says it any more, and when the agent is gone', () => {
    doubts.hear('frankfurt', tooShort());
    doubts.hear('frankfurt', trip(frankfurt, sydney, 250));
    expect(doubts.of('sydney')).toEqual([]);
    doubts.hear('frankfurt', tooShort());
    now = 600_000;
    expect(doubts.of('sydney')).toHaveLength(1);
    now = 600_001;
    expect(doubts.of('sydney')).toEqual([]);
    doubts.hear('frankfurt', tooShort());
    registerAll(frankfurt, offenbach);
    expect(doubts.of('frankfurt')).toEqual([]);
  });

  it('do not outlive a place that was corrected, or a key that was replaced', () => {
    doubts.hear('frankfurt', tooShort());
    registerAll(frankfurt, agent('sydney', 50.2, 8.7));
    expect(doubts.of('frankfurt')).toEqual([]);
    registerAll(frankfurt, sydney);
    doubts.hear('frankfurt', tooShort());
    const before = keys.get('sydney')!;
    registerAll(frankfurt, agent('sydney', -33.87, 151.21, newKey()));
    keys.set('sydney', before);
    expect(doubts.of('frankfurt')).toEqual([]);
  });

  it('need both signatures: neither nats-server nor an agent alone makes one for others', () => {
    const good = tooShort();
    const other = trip(frankfurt, sydney, 2.3);
    const cases: [string, RoundTrip][] = [
      ['frankfurt', { ...good, micros: good.micros - 1 }],
      ['frankfurt', { ...good, nonce: other.nonce }],
      ['frankfurt', { ...good, echo: other.echo }],
      ['frankfurt', { ...good, signature: other.signature }],
      ['frankfurt', { ...good, signature: new Uint8Array() }],
      ['frankfurt', { ...good, echo: new Uint8Array(73) }],
      ['offenbach', good],
      ['atlantis', good],
      ['frankfurt', { ...good, peer: 'atlantis' }],
      ['frankfurt', { ...good, peer: 'offenbach' }],
      ['sydney', good],
      ['frankfurt', { ...good, micros: Number.NaN }],
      // Its own echo under the peer's name.
      [
        'frankfurt',
        signRoundTrip(
          'frankfurt',
          {
            peer: 'sydney',
            micros: 2_300,
            nonce: good.nonce,
            echo: signEcho('frankfurt', 'sydney', good.nonce, privateKey(frankfurt)),
          },
          privateKey(frankfurt),
        ),
      ],
    ];
    for (const [from, one] of cases) {
      doubts.hear(from, one);
      expect(doubts.of('sydney')).toEqual([]);
    }
    doubts.hear('frankfurt', good);
    expect(doubts.of('sydney')).toHaveLength(1);
  });
});
