import { hash } from 'node:crypto';
import { type Judgement, type QuorumPolicy, type Verdict, evaluateQuorum } from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import type { Drawn } from '@mecai/proto/signer';
import { type Voucher, parseSignedVoucher } from '@mecai/voucher';
import { testKey } from '@mecai/voucher/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RefusedError } from './refusal.ts';
import {
  type Observed,
  type World,
  bothAddresses,
  chainOf,
  coordinator,
  createWorld,
  leaf,
  observe,
  otherLeaf,
  start,
  subjectOf,
  va,
  webIntermediate,
} from './testing/world.ts';

const stranger = testKey().privateKey;
const otherChain = chainOf(otherLeaf, webIntermediate);

/** What may be handed in about one agent and target, and what it is worth; undefined: as if nothing had come. */
const kinds: Record<string, { verdict?: Verdict; observed: Observed[] }> = {
  nothing: { observed: [] },
  match: { verdict: 'match', observed: [{}] },
  'match, twice the same': { verdict: 'match', observed: [{}, {}] },
  mismatch: { verdict: 'mismatch', observed: [{ chain: otherChain }] },
  'no possession': { verdict: 'inconclusive', observed: [{ possessionProven: false }] },
  'no answer': {
    verdict: 'inconclusive',
    observed: [
      { chain: [], possessionProven: false, failure: { class: 'timeout-connect', alert: 0, detail: '' } },
    ],
  },
  'bad signature': { observed: [{ key: stranger }] },
  'other task': { observed: [{ nonce: new Uint8Array(32) }] },
  'old clock': { observed: [{ observedAt: start.getTime() - 121_000 }] },
  'other target': { observed: [{ target: undefined }] },
  'bad signature, then match': { verdict: 'match', observed: [{ key: stranger }, {}] },
  'match, then forged mismatch': { verdict: 'match', observed: [{}, { chain: otherChain, key: stranger }] },
  'match and mismatch': { verdict: 'inconclusive', observed: [{}, { chain: otherChain }] },
  'mismatch and match': { verdict: 'inconclusive', observed: [{ chain: otherChain }, {}] },
};
const kind = fc.oneof({ weight: 3, arbitrary: fc.constant('match') }, fc.constantFrom(...Object.keys(kinds)));

const policy: fc.Arbitrary<QuorumPolicy> = fc.integer({ min: 2, max: 6 }).chain((perspectives) =>
  fc.record({
    perspectives: fc.constant(perspectives),
    minRegions: fc.integer({ min: 1, max: Math.min(perspectives, 5) }),
    minNetworks: fc.integer({ min: 1, max: perspectives }),
    minDistanceKm: fc.constantFrom(0, 500, 1500),
    matchIntermediates: fc.boolean(),
  }),
);

const situation = fc.record({
  policy,
  dual: fc.boolean(),
  // By target and agent; as many as there may be.
  given: fc.array(fc.array(kind, { minLength: 6, maxLength: 6 }), { minLength: 2, maxLength: 2 }),
  order: fc.infiniteStream(fc.nat()),
});

it('a voucher comes out exactly when the evidence that counts is a quorum, and says exactly what was seen', async () => {
  let issued = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(situation, async ({ policy: rules, dual, given, order }) => {
      // That agents are taken for wrong, and not this clock.
      const world = createWorld({ policy: rules, maxClockOffsetMs: 600_000 });
      const draw = world.issuance.draw(subjectOf(dual ? bothAddresses : {}), coordinator);
      const observations = draw.targets.flatMap((_, at) =>
        draw.agents.flatMap((agent, i) =>
          kinds[given[at]![i]!]!.observed.map((changes) => observe(agent, draw, { at, ...changes })),
        ),
      );
      shuffle(observations, order);
      const seen = draw.targets.map(
        (_, at) => new Map(draw.agents.map((agent, i) => [agent, kinds[given[at]![i]!]!.verdict])),
      );
      const quorum = evaluateQuorum(rules, [...agentsOf(world, draw)], [combined(draw, seen)]);
      const bytes = await world.issuance.issue(draw.nonce, observations, coordinator).then(
        ({ voucher }) => voucher,
        (error: unknown) => {
          if (error instanceof RefusedError) return undefined;
          throw error;
        },
      );
      expect(bytes !== undefined).toBe(quorum.outcome === 'corroborated');
      if (!bytes) {
        refused++;
        expect(world.records).toMatchObject([{ event: 'refused', code: 'no-quorum' }]);
        return;
      }
      issued++;
      const parsed = parseSignedVoucher(bytes);
      expect(Buffer.from(parsed.vaCertificate)).toEqual(Buffer.from(va.certificate.der));
      expect(plain(parsed.voucher)).toEqual(
        plain(expected(world, draw, rules, seen, parsed.voucher.serial, quorum.required)),
      );
    }),
    { numRuns: 300 },
  );
  // Both happen often enough to mean something.
  expect(Math.min(issued, refused)).toBeGreaterThan(30);
});

const agentsOf = (world: World, { agents }: Drawn) => agents.map((name) => world.registry.agents.get(name)!);

/** One by one over all targets: the worst counts. */
function combined(
  { agents }: Drawn,
  seen: readonly ReadonlyMap<string, Verdict | undefined>[],
): Map<string, Judgement> {
  return new Map(
    agents.map((agent): [string, Judgement] => {
      const verdicts = seen.map((target) => target.get(agent));
      if (verdicts.every((verdict) => verdict === 'match')) return [agent, { verdict: 'match' }];
      return [agent, { verdict: verdicts.includes('mismatch') ? 'mismatch' : 'inconclusive' }];
    }),
  );
}

function expected(
  world: World,
  draw: Drawn,
  rules: QuorumPolicy,
  seen: readonly ReadonlyMap<string, Verdict | undefined>[],
  serial: Uint8Array,
  required: number,
): Voucher {
  const dual = draw.targets.length === 2;
  const heard = agentsOf(world, draw).filter(({ name }) => seen.some((target) => target.get(name)));
  return {
    serial,
    ipv4: Uint8Array.of(1, 2, 3, 4),
    ...(dual && { ipv6: bothAddresses.addresses[1]! }),
    port: 443,
    leaf: hash('sha256', leaf.der, 'buffer'),
    intermediates: [hash('sha256', webIntermediate.der, 'buffer')],
    status: [],
    producedAt: new Date('2026-11-22T12:00:00Z'),
    notAfter: new Date('2026-11-23T12:00:00Z'),
    trustContexts: ['MOZ'],
    quorum: {
      asked: rules.perspectives,
      matches: Math.max(required, rules.minRegions, rules.minNetworks),
      regions: rules.minRegions,
      networks: rules.minNetworks,
      kilometres: rules.minDistanceKm,
      intermediates: rules.matchIntermediates,
    },
    directoryVersion: 3,
    perspectives: heard.map(({ name, country, rir, asn }) => ({
      country,
      rir,
      asn,
      ipv4: seen[0]!.get(name) ?? 'inconclusive',
      ...(dual && { ipv6: seen[1]!.get(name) ?? 'inconclusive' }),
    })),
  };
}

/** Bytes as text, and the list without an order in one. */
const plain = ({ perspectives, ...voucher }: Voucher): unknown => ({
  ...Object.fromEntries(Object.entries(voucher).map(([name, value]) => [name, text(value)])),
  perspectives: perspectives.map((one) => JSON.stringify(one)).toSorted(),
});

const text = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(text);
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
};

function shuffle(list: SignedObservation[], order: Iterator<number>): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Number(order.next().value) % (i + 1);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
}
