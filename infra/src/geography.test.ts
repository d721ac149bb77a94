/** The geography rule of the Terraform module against the quorum rule that the signer applies. */
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { distanceKm } from '@mecai/addresses';
import {
  type Perspective,
  type QuorumPolicy,
  allowedNonCorroborations,
  defaultQuorumPolicy,
  drawPerspectives,
  evaluateQuorum,
  parseRegistry,
  rirs,
} from '@mecai/corroboration';
import { createUser } from '@nats-io/nkeys';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HclModule, type Planned } from './testing/hcl-module.ts';

let module: HclModule;
beforeAll(async () => {
  module = await HclModule.read(join(import.meta.dirname, '../terraform/modules/quorum-geography'));
});

const hclPolicy = ({ perspectives, minRegions, minNetworks, minDistanceKm }: QuorumPolicy) => ({
  perspectives,
  min_regions: minRegions,
  min_networks: minNetworks,
  min_distance_km: minDistanceKm,
});

function plan(
  perspectives: readonly Perspective[],
  policy: QuorumPolicy = defaultQuorumPolicy,
  publicKeys: Record<string, string> = {},
  natsKey: (name: string) => string | null = () => null,
): Planned {
  return module.plan({
    registry_version: 1,
    keys: Object.fromEntries(
      Object.entries(publicKeys).map(([name, key]) => [name, { public_key: key, nats_key: natsKey(name) }]),
    ),
    policy: hclPolicy(policy),
    perspectives: Object.fromEntries(
      perspectives.map(({ name, country, latitude, longitude, rir, asn }) => [
        name,
        { city: name, region: null, country, latitude, longitude, rir, asn },
      ]),
    ),
  });
}

const perspective = (index: number, place: Omit<Perspective, 'name' | 'keyId' | 'country'>): Perspective => ({
  name: `p${String(index).padStart(2, '0')}`,
  keyId: String(index),
  country: 'DE',
  ...place,
});

const latitude = fc.double({ min: -90, max: 90, noNaN: true });
const longitude = fc.double({ min: -180, max: 180, noNaN: true });

it('the example has eight perspectives in five regions and four networks, and is accepted', async () => {
  const example = await HclModule.read(join(import.meta.dirname, '../terraform/live/example'));
  type Place = { rir: string; asn: number };
  const own = ['frankfurt', 'tokyo', 'johannesburg', 'santiago'];
  const places = {
    ...Object.fromEntries(own.map((name) => [name, example.argument(name, 'place', {})])),
    ...(example.argument('hosts', 'for_each', {}) as object),
  } as Record<string, never>;
  const among = (member: 'rir' | 'asn') =>
    new Set(Object.values<Place>(places).map((place) => place[member])).size;
  expect([Object.keys(places).length, among('rir'), among('asn')]).toEqual([8, 5, 4]);
  // Optional is what Terraform would fill in.
  const perspectives = Object.fromEntries(
    Object.entries<object>(places).map(([name, place]) => [name, { region: null, ...place } as never]),
  );
  const policy = hclPolicy(defaultQuorumPolicy);
  expect(module.plan({ policy, perspectives, keys: {}, registry_version: 1 }).refused).toEqual([]);
});

describe('distance', () => {
  const pairOf = (a: { latitude: number; longitude: number }, b: typeof a, minDistanceKm: number) =>
    plan([perspective(1, { ...a, rir: 'arin', asn: 1 }), perspective(2, { ...b, rir: 'apnic', asn: 2 })], {
      ...defaultQuorumPolicy,
      minDistanceKm,
    }).refused.some((reason) => reason.startsWith('Nearer'));

  it('agrees with the signer to a metre everywhere, at the poles and across the antimeridian too', () => {
    const place = fc.record({
      latitude: fc.oneof(latitude, fc.constantFrom(-90, 0, 90)),
      longitude: fc.oneof(longitude, fc.constantFrom(-180, -179.999, 0, 179.999, 180)),
    });
    fc.assert(
      fc.property(place, place, (a, b) => {
        const kilometres = distanceKm(a, b);
        // Near the antipode a chord hardly changes with the distance: it is out of reach of the policy, too.
        fc.pre(kilometres > 0.01 && kilometres < 19_900);
        expect(pairOf(a, b, kilometres + 0.001)).toBe(true);
        expect(pairOf(a, b, Math.max(kilometres - 0.001, 0))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it('names the pair and how near it is', () => {
    const [reason] = plan([
      perspective(1, { latitude: 50.11, longitude: 8.68, rir: 'ripencc', asn: 1 }),
      perspective(2, { latitude: 47.38, longitude: 8.54, rir: 'ripencc', asn: 2 }),
    ]).refused.filter((one) => one.startsWith('Nearer'));
    expect(reason).toContain('p01 and p02 (303 km)');
  });
});

/** Sets far enough apart: a grid of places 20 degrees and more from each other. */
const spread = (sizes: fc.Arbitrary<number>) =>
  sizes.chain((size) =>
    fc
      .array(fc.record({ rir: fc.constantFrom(...rirs), asn: fc.integer({ min: 1, max: 12 }) }), {
        minLength: size,
        maxLength: size,
      })
      .map((all) =>
        all.map((one, i) =>
          perspective(i, { ...one, latitude: -40 + 20 * (i % 5), longitude: -160 + 40 * Math.floor(i / 5) }),
        ),
      ),
  );
const policies = fc.constantFrom<QuorumPolicy>(
  defaultQuorumPolicy,
  { ...defaultQuorumPolicy, perspectives: 4 },
  { ...defaultQuorumPolicy, perspectives: 5, minRegions: 3 },
  { ...defaultQuorumPolicy, perspectives: 8, minRegions: 3, minNetworks: 3 },
);

/** Whether a quorum stands in each of many draws once everything in this region or network is silent. */
function survives(policy: QuorumPolicy, all: readonly Perspective[], lost: (one: Perspective) => boolean) {
  const judgements = new Map(
    all.map((one) => [one.name, { verdict: lost(one) ? ('inconclusive' as const) : ('match' as const) }]),
  );
  return Array.from({ length: 40 }, (_, nonce) =>
    evaluateQuorum(policy, drawPerspectives(policy, all, Buffer.alloc(32), Buffer.of(nonce)), [judgements]),
  ).every(({ outcome }) => outcome === 'corroborated');
}
const losses = (all: readonly Perspective[], member: 'rir' | 'asn') =>
  [...new Set(all.map((one) => one[member]))].map((value) => (one: Perspective) => one[member] === value);

describe('losses', () => {
  it('an accepted set makes a quorum in every draw, with any region or any network lost', () => {
    let accepted = 0;
    fc.assert(
      fc.property(spread(fc.integer({ min: 4, max: 14 })), policies, (all, policy) => {
        if (plan(all, policy).refused.length > 0) return;
        accepted++;
        for (const lost of [() => false, ...losses(all, 'rir'), ...losses(all, 'asn')]) {
          expect(survives(policy, all, lost)).toBe(true);
        }
      }),
      { numRuns: 250, seed: 8 },
    );
    expect(accepted).toBeGreaterThan(20);
  });

  it('a set refused for its regions alone makes none in some draw', () => {
    let refused = 0;
    fc.assert(
      fc.property(spread(fc.integer({ min: 6, max: 14 })), (all) => {
        const { refused: reasons } = plan(all);
        if (!reasons.some((reason) => reason.includes('from one RIR region'))) return;
        if (new Set(all.map(({ rir }) => rir)).size < 2 || new Set(all.map(({ asn }) => asn)).size < 4)
          return;
        refused++;
        const fails = losses(all, 'rir').some((lost) => !survives(defaultQuorumPolicy, all, lost));
        expect(fails, JSON.stringify(all.map(({ rir }) => rir))).toBe(true);
      }),
      { numRuns: 250, seed: 8 },
    );
    expect(refused).toBeGreaterThan(10);
  });

  it.each<[string, number, (i: number) => { rir: Perspective['rir']; asn: number }, RegExp]>([
    [
      'five of the six that are asked',
      5,
      (i) => ({ rir: rirs[i % 5]!, asn: i + 1 }),
      /There are 5 perspectives/,
    ],
    [
      'two regions',
      8,
      (i) => ({ rir: rirs[i % 2]!, asn: i + 1 }),
      /^All perspectives are in the regions of apnic, afrinic|^All perspectives are in the regions of afrinic, apnic/,
    ],
    ['most in one region', 7, (i) => ({ rir: rirs[Math.max(i - 4, 0)]!, asn: i + 1 }), /one RIR region/],
    ['one network', 10, (i) => ({ rir: rirs[i % 5]!, asn: 7 }), /^All perspectives are in AS7:/],
    [
      'most in one network',
      10,
      (i) => ({ rir: rirs[i % 5]!, asn: i < 3 ? 7 : i + 10 }),
      /from one network.*AS7\.$/,
    ],
  ])('refused: %s', (_, size, of, reason) => {
    const all = Array.from({ length: size }, (__, i) =>
      perspective(i, { ...of(i), latitude: -40 + 20 * (i % 5), longitude: -160 + 40 * Math.floor(i / 5) }),
    );
    expect(plan(all).refused).toContainEqual(expect.stringMatching(reason));
  });

  it('allows as many non-corroborations as the quorum rule', () => {
    for (let perspectives = 2; perspectives <= 64; perspectives++) {
      const allowed = allowedNonCorroborations(perspectives);
      const left = Math.ceil((perspectives - allowed) / allowed);
      const refusals = (minRegions: number) =>
        plan([], { ...defaultQuorumPolicy, perspectives, minRegions, minNetworks: 1 }).refused;
      expect(refusals(left).some((reason) => reason.startsWith('policy'))).toBe(false);
      expect(refusals(left + 1)).toEqual([expect.stringMatching(/^policy: /)]);
    }
  });
});

describe('what it puts out', () => {
  const all = Array.from({ length: 10 }, (_, i) =>
    perspective(i, {
      rir: rirs[i % 5]!,
      asn: i + 1,
      latitude: -40 + 20 * (i % 5),
      longitude: -160 + 40 * Math.floor(i / 5),
    }),
  );

  it('is the registry that the signer reads', () => {
    const keys = Object.fromEntries(
      all
        .slice(1)
        .map(({ name }) => [
          name,
          generateKeyPairSync('ec', { namedCurve: 'P-256' })
            .publicKey.export({ format: 'der', type: 'spki' })
            .toString('base64'),
        ]),
    );
    const natsKey = createUser().getPublicKey();
    const { outputs, refused } = plan(all, defaultQuorumPolicy, keys, (name) =>
      name === 'p01' ? natsKey : null,
    );
    expect(refused).toEqual([]);
    const registry = parseRegistry(outputs['registry'] as string);
    expect([...registry.agents.values()].map(({ name, rir, asn }) => ({ name, rir, asn }))).toEqual(
      all.slice(1).map(({ name, rir, asn }) => ({ name, rir, asn })),
    );
    expect([...registry.agents.values()][0]?.natsKey).toBe(natsKey);
    expect(
      parseRegistry(plan(all, defaultQuorumPolicy, keys).outputs['registry'] as string).agents.size,
    ).toBe(9);
    expect(outputs['without_key']).toEqual(['p00']);
    const { matchIntermediates: _, ...quorum } = defaultQuorumPolicy;
    expect(outputs['quorum']).toEqual(quorum);
  });

  it('refuses a private key, and a key of nobody', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const secret = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    expect(plan(all, defaultQuorumPolicy, { p01: secret }).refused).toEqual([
      expect.stringMatching(/^keys: public_key/),
    ]);
    const seed = new TextDecoder().decode(createUser().getSeed());
    const shown = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    expect(plan(all, defaultQuorumPolicy, { p01: shown }, () => seed).refused).toEqual([
      expect.stringMatching(/^keys: nats_key/),
    ]);
    expect(plan(all, defaultQuorumPolicy, { p77: shown }).refused).toEqual(['Keys of no perspective: p77.']);
    expect(plan(all, defaultQuorumPolicy, { p01: shown, p02: shown }).refused).toEqual([
      expect.stringMatching(/same key/),
    ]);
    const another = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    const two = { p01: shown, p02: another.export({ format: 'der', type: 'spki' }).toString('base64') };
    const natsKey = createUser().getPublicKey();
    expect(plan(all, defaultQuorumPolicy, two, () => natsKey).refused).toEqual([
      expect.stringMatching(/same nkey/),
    ]);
  });
});
