import { generateKeyPairSync } from 'node:crypto';
import { type Agent, parseRegistry } from '@mecai/corroboration';
import { KeyType, type Observation } from '@mecai/proto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Chain } from './certificate-cache.ts';
import { CommonColumnsCache } from './common-columns.ts';
import { Geo } from './geo.ts';

const geo = await Geo.open({});
const place = { city: 'Lima', country: 'PE', latitude: -12, longitude: -77, rir: 'lacnic', asn: 64_500 };
const registry = parseRegistry(
  JSON.stringify({
    version: 1,
    agents: ['lima', 'callao'].map((name) => ({
      ...place,
      name,
      publicKey: generateKeyPairSync('ec', { namedCurve: 'P-256' })
        .publicKey.export({ format: 'der', type: 'spki' })
        .toString('base64'),
    })),
  }),
);
const agents: Agent[] = [...registry.agents.values()];
const targets = [443, 8443].map((port) => ({
  address: Uint8Array.of(192, 0, 2, 1),
  port,
  serverName: 'site.example',
  startTls: '',
  keyType: KeyType.KEY_TYPE_ECDSA,
}));
const chains: Chain[] = [[], ['aa'], ['aa', 'bb']].map((fingerprints) => ({
  certificates: [],
  fingerprints,
}));
const tls = [0x0303, 0x0304].map((version) => ({
  version,
  cipherSuite: 0x1301,
  group: 29,
  signatureScheme: 0x0403,
  alpn: 'h2',
}));
const failures = [40, 80].map((alert) => ({ class: 'alert', alert, detail: `alert ${alert}` }));
const response = { certificate: 0, response: new Uint8Array() };
const list = new Uint8Array();

const observation: fc.Arbitrary<Observation> = fc.record({
  nonce: fc.constant(new Uint8Array(32)),
  agent: fc.constant(''),
  target: fc.constantFrom(...targets),
  observedAt: fc.nat(),
  chain: fc.constant([]),
  possessionProven: fc.boolean(),
  tls: fc.constantFrom(undefined, ...tls),
  ocsp: fc.constantFrom([], [response]),
  sctLists: fc.constantFrom([], [list]),
  timings: fc.constant(undefined),
  failure: fc.constantFrom(undefined, ...failures),
});
const seen = fc.tuple(
  observation,
  fc.constantFrom(...agents),
  fc.constantFrom('va1', 'va2'),
  fc.constantFrom(...chains),
);

it('finds for each observation what it would make of it alone', () => {
  const cache = new CommonColumnsCache(geo);
  fc.assert(
    fc.property(seen, (one) => {
      const alone = new CommonColumnsCache(geo).find(...one);
      expect(cache.find(...one)).toEqual(alone);
      expect(alone.columns.agent).toBe(one[1].name);
      expect(alone.columns.coordinator).toBe(one[2]);
    }),
    { numRuns: 2000 },
  );
});

it('gives the same object for the same parts', () => {
  const cache = new CommonColumnsCache(geo);
  fc.assert(
    fc.property(seen, fc.nat(), (one, observedAt) => {
      const [first, ...others] = one;
      expect(cache.find({ ...first, observedAt }, ...others)).toBe(cache.find(...one));
    }),
  );
});

it('goes on when one target shows more than it keeps', () => {
  const cache = new CommonColumnsCache(geo);
  const [one] = fc.sample(observation, 1);
  for (let alert = 0; alert < 1000; alert++) {
    const failure = { class: 'alert', alert: alert % 256, detail: `${alert}` };
    const found = cache.find({ ...one!, failure }, agents[0]!, 'va1', chains[0]!);
    expect(found.columns).toMatchObject({ alert: alert % 256, error_detail: `${alert}` });
  }
});
