/** An issuance with everything around it, in one process: real keys, a clock and randomness that tests set. */
import { type KeyObject, sign } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import {
  type Registry,
  type Rir,
  defaultQuorumPolicy,
  parseRegistry,
  signObservation,
} from '@mecai/corroboration';
import { parseCertificate, createTrustStore, type RevocationPolicy } from '@mecai/pki';
import type { Observation, SignedObservation } from '@mecai/proto';
import type { Drawn, Subject } from '@mecai/proto/signer';
import { voucherLinter } from '@mecai/voucher';
import { type TestCertificate, type TestVa, testKey, testVa } from '@mecai/voucher/testing';
import type { AuditRecord } from '../audit-log.ts';
import { ChainPolicy } from '../chain-policy.ts';
import { ClockCheck } from '../clock-check.ts';
import { DistrustList } from '../distrust-list.ts';
import { type DrawLimits, Draws } from '../draws.ts';
import { Issuance, type IssuanceParts } from '../issuance.ts';
import { RevocationEvidence } from '../revocation-evidence.ts';
import { VaRevocation, vaLinks } from '../va-revocation.ts';
import { serverCertificate, testCa } from './certificates.ts';

export const coordinator = 'spiffe://mecai.test/coordinator-1';
export const start = new Date('2026-11-22T12:00:00.500Z');

const cities: readonly [name: string, country: string, Rir, latitude: number, longitude: number][] = [
  ['berlin', 'DE', 'ripencc', 52.5, 13.4],
  ['madrid', 'ES', 'ripencc', 40.4, -3.7],
  ['chicago', 'US', 'arin', 41.9, -87.6],
  ['vancouver', 'CA', 'arin', 49.3, -123.1],
  ['tokyo', 'JP', 'apnic', 35.7, 139.7],
  ['perth', 'AU', 'apnic', -31.9, 115.9],
  ['lima', 'PE', 'lacnic', -12, -77],
  ['nairobi', 'KE', 'afrinic', -1.3, 36.8],
];
export const agentNames = cities.map(([name]) => name);

/** Keys are made once: they are the slow part. */
export const agentKeys = new Map(cities.map(([name]) => [name, testKey()]));
export const agentKey = (name: string): KeyObject => agentKeys.get(name)!.privateKey;

export const webRoot = testCa('Web Root');
export const webIntermediate = testCa('Web Issuing CA', webRoot);
export const leaf = serverCertificate(webIntermediate, ['www.example.test', 'mail.example.test'], start);
export const otherLeaf = serverCertificate(webIntermediate, ['www.example.test'], start, 2);
export const untrustedRoot = testCa('Nobody');
export const va: TestVa = testVa();
/** Good today, for processes with a clock of their own. */
export const todaysLeaf = serverCertificate(webIntermediate, ['www.example.test'], new Date(), 4);
export const vaIssued = serverCertificate(va.root, ['www.example.test'], start, 3);
export const chainOf = (...certificates: readonly TestCertificate[]) =>
  certificates.map(({ der }) => Uint8Array.from(der));

/** Registry file of these agents. */
export const registryText = (names = agentNames, version = 3, keys = agentKeys): string =>
  JSON.stringify({
    version,
    agents: names.map((name) => {
      const [, country, rir, latitude, longitude] = cities.find(([one]) => one === name)!;
      const publicKey = keys.get(name)!.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
      const asn = 64_500 + agentNames.indexOf(name);
      return { name, publicKey, city: name, country, rir, latitude, longitude, asn };
    }),
  });

export const subjectOf = (changes: Partial<Subject> = {}): Subject => ({
  addresses: [parseAddress('1.2.3.4')],
  port: 443,
  serverName: 'www.example.test',
  startTls: '',
  chain: chainOf(leaf, webIntermediate),
  ...changes,
});
export const bothAddresses = { addresses: [parseAddress('1.2.3.4'), parseAddress('2600::1')] };

export const drawLimits: DrawLimits = { open: 1000, attempts: 8, perEndpoint: 16, windowMs: 60_000 };

export interface World {
  readonly issuance: Issuance;
  readonly parts: IssuanceParts;
  readonly records: AuditRecord[];
  readonly distrust: DistrustList;
  registry: Registry;
  /** Milliseconds since 1970. */
  time: number;
  /** How far the signer's clock is ahead. */
  clockAhead: number;
}

/** Of the VA of these tests, of whose certificates nothing is known yet. */
export const vaRevocationOf = (policy: RevocationPolicy): VaRevocation => {
  const [first, second, root] = [va.certificate, va.intermediate, va.root].map(({ der }) =>
    parseCertificate(der),
  );
  return new VaRevocation(
    vaLinks([first!, second!], [root!]),
    new RevocationEvidence({ octets: 1_048_576 }),
    policy,
  );
};

/** Six of eight perspectives unless told otherwise. */
export function createWorld(
  changes: Partial<IssuanceParts> & {
    readonly names?: readonly string[];
    readonly limits?: Partial<DrawLimits>;
    /** As wide as that of the agents by default, for tests that let time pass. */
    readonly maxClockOffsetMs?: number;
  } = {},
): World {
  const { names, limits, maxClockOffsetMs = 120_000, ...parts } = changes;
  const records: AuditRecord[] = [];
  const distrust = new DistrustList();
  let count = 0;
  const world: Omit<World, 'issuance' | 'parts'> & { issuance?: Issuance; parts?: IssuanceParts } = {
    records,
    distrust,
    registry: parseRegistry(registryText([...(names ?? agentNames)])),
    time: start.getTime(),
    clockAhead: 0,
  };
  const certificate = va.certificate.der;
  const intermediates = [va.intermediate.der];
  const now = () => world.time + world.clockAhead;
  const uptime = () => world.time;
  const all: IssuanceParts = {
    registry: () => world.registry,
    policy: defaultQuorumPolicy,
    chainPolicy: new ChainPolicy(
      createTrustStore([
        { id: 'MOZ', anchors: [{ certificate: parseCertificate(webRoot.der) }] },
        { id: 'EMPTY', anchors: [{ certificate: parseCertificate(va.root.der) }] },
      ]),
      [parseCertificate(va.root.der)],
      distrust,
    ),
    revocation: 'allow-unknown',
    revocationEvidence: new RevocationEvidence({ octets: 268_435_456 }),
    vaRevocation: vaRevocationOf('allow-unknown'),
    hsm: { refusal: undefined },
    draws: new Draws({ ...drawLimits, ...limits }, (draw) =>
      records.push({ event: 'draw-abandoned', endpoints: draw.endpoints }),
    ),
    drawTtlMs: 30_000,
    voucherSigner: va.signer,
    vaNotAfter: new Date('2028-01-01T00:00:00Z').getTime(),
    sign: (bytes) => sign('sha256', bytes, va.certificate.privateKey),
    lint: voucherLinter({ vaCertificate: certificate, intermediates }),
    audit: (record) => Promise.resolve(records.push(record)),
    allowedTargets: [],
    voucherLifetimeSeconds: 86_400,
    clockToleranceMs: 120_000,
    now,
    uptime,
    clock: new ClockCheck({ now, uptime, maxOffsetMs: maxClockOffsetMs }),
    // Never twice the same, and the same in each run.
    random: (octets) => Buffer.alloc(octets).fill(`${octets} ${++count} `),
    drawKey: Buffer.from('secret of the drawer'),
    ...parts,
  };
  return Object.assign(world, { parts: all, issuance: new Issuance(all) });
}

export interface Observed extends Partial<Observation> {
  /** Position of the target in the draw, 0 by default. */
  readonly at?: number;
  /** Signs with another key than the agent's own. */
  readonly key?: KeyObject;
}

/** What an honest agent that saw the chain would send at the start of the clock, but for the changes. */
export function observe(agent: string, drawn: Drawn, changes: Observed = {}): SignedObservation {
  const { at = 0, key = agentKey(agent), ...members } = changes;
  const observation: Observation = {
    nonce: drawn.nonce,
    agent,
    target: drawn.targets[at],
    observedAt: start.getTime(),
    chain: chainOf(leaf, webIntermediate),
    possessionProven: true,
    tls: undefined,
    ocsp: [],
    sctLists: [],
    timings: undefined,
    failure: undefined,
    ...members,
  };
  return signObservation(observation, key);
}
