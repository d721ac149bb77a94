import { type KeyObject, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failureClasses } from '@mecai/corroboration';
import {
  type CheckStatistics,
  ClientReport,
  Decision,
  type FailedCheck,
  KeyType,
  Mismatch,
  Observation,
  SignedObservation,
  type Target,
} from '@mecai/proto';
import { createLogger } from '@mecai/runtime';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agents } from './agents.ts';
import { CertificateCache } from './certificate-cache.ts';
import { CommonColumnsCache } from './common-columns.ts';
import { LiveDetection } from './detection/live.ts';
import { rules } from './detection/rules.ts';
import { Geo } from './geo.ts';
import { ObservationDecoder } from './observation-decoder.ts';
import { countRows } from './queries.ts';
import { type ReadContext, readObservation } from './read-observation.ts';
import { readRecord } from './read-record.ts';
import type { OwnColumns, Read, StoredEvent } from './rows.ts';
import type { Store } from './store.ts';
import { encodeObservation, makeDecision, nonceOf } from './testing/network.ts';
import { Writer } from './writer.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-read-'));
const log = createLogger('read', 'silent');
const now = Date.now();
let key: KeyObject;
let agents: Agents;
const certificates = new CertificateCache();
const decoder = new ObservationDecoder();

beforeAll(() => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  key = pair.privateKey;
  const publicKey = pair.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const lima = {
    name: 'lima',
    publicKey,
    city: 'Lima',
    country: 'PE',
    latitude: -12,
    longitude: -77,
    rir: 'lacnic',
    asn: 1,
  };
  writeFileSync(join(directory, 'registry.json'), JSON.stringify({ version: 1, agents: [lima] }));
  agents = new Agents(join(directory, 'registry.json'), log);
});
afterAll(() => rmSync(directory, { recursive: true }));

const judgement = {
  rules,
  maxEndpoints: 1000,
  everyMs: 1000,
  store: () => undefined,
  placeOf: () => undefined,
  now: () => now,
  log,
};
const detection = new LiveDetection(judgement);
let commonColumns: CommonColumnsCache;
beforeAll(async () => {
  commonColumns = new CommonColumnsCache(await Geo.open({}));
});
const context = (): ReadContext => ({
  decoder,
  agents,
  certificates,
  commonColumns,
  detection,
  unverifiedBeyond: 0,
  matchesStored: 1,
});

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
/** Mostly what is well-formed, so that whole messages are. */
const mostly = <T>(good: fc.Arbitrary<T>, any: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 40, arbitrary: good }, { weight: 1, arbitrary: any });
const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const uint32 = mostly(fc.nat(255), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const words = mostly(
  fc.oneof(fc.string({ unit: 'binary', maxLength: 15 }), fc.constantFrom('alert', 'refused', '')),
  fc.string({ unit: 'binary', minLength: 300, maxLength: 400 }),
);
const ms = mostly(
  fc.oneof(fc.constant(now), fc.nat()),
  fc.integer({ min: Date.UTC(2299, 0) + 1, max: Number.MAX_SAFE_INTEGER }),
);
const address = mostly(fc.oneof(octets(4), octets(16)), bytes(20));
const target: fc.Arbitrary<Target> = fc.record({
  address,
  port: uint32,
  serverName: words,
  startTls: words,
  keyType: fc.constantFrom(
    KeyType.KEY_TYPE_UNSPECIFIED,
    KeyType.KEY_TYPE_RSA,
    KeyType.KEY_TYPE_ECDSA,
    KeyType.UNRECOGNIZED,
  ),
});
const observation: fc.Arbitrary<Observation> = fc.record({
  nonce: mostly(octets(32), bytes(40)),
  agent: fc.constant('lima'),
  target: fc.option(target, { nil: undefined, freq: 20 }),
  observedAt: ms,
  chain: fc.array(bytes(50), { maxLength: 5 }),
  possessionProven: fc.boolean(),
  tls: fc.option(
    fc.record({ version: uint32, cipherSuite: uint32, group: uint32, signatureScheme: uint32, alpn: words }),
    { nil: undefined },
  ),
  ocsp: fc.array(fc.record({ certificate: uint32, response: bytes(5) }), { maxLength: 3 }),
  sctLists: fc.array(bytes(5), { maxLength: 3 }),
  timings: fc.option(fc.record({ connect: uint32, firstByte: uint32, proof: uint32, end: uint32 }), {
    nil: undefined,
  }),
  failure: fc.option(fc.record({ class: words, alert: uint32, detail: words }), { nil: undefined }),
});

const errorClasses = ['', 'unknown-failure', ...failureClasses];
const stored = (read: Read): read is StoredEvent => !('fault' in read);

it('makes rows that ClickHouse takes, or faults, of whatever registered agents and coordinators say', {
  timeout: 120_000,
}, async () => {
  const writer = new Writer(
    { store: { kind: 'embedded', directory: join(directory, 'store') }, retentionDays: 0, insertMs: 10_000 },
    { log, signal: new AbortController().signal },
  );
  let rows = 0;
  let faults = 0;
  const decision: fc.Arbitrary<Decision> = fc.record({
    nonce: bytes(32),
    decidedAt: ms,
    coordinator: fc.constant('va1'),
    targets: fc.array(target, { maxLength: 2 }),
    chain: fc.array(bytes(32), { maxLength: 3 }),
    status: words,
    reason: words,
    detail: words,
    perspectives: fc.array(fc.record({ agent: words, address, verdict: words, code: words }), {
      maxLength: 3,
    }),
    voucher: mostly(fc.constant(new Uint8Array()), bytes(100)),
    requester: mostly(fc.oneof(octets(4), octets(0)), bytes(20)),
    authenticated: fc.boolean(),
    auditSequence: ms,
    signer: words,
  });
  const failedCheck: fc.Arbitrary<FailedCheck> = fc.record({
    id: octets(32),
    times: fc.nat(),
    target: mostly(target, fc.constant(undefined)),
    chain: fc.array(bytes(20), { maxLength: 3 }),
    seenAt: ms,
    codes: fc.array(words, { maxLength: 3 }),
    vas: fc.array(words, { maxLength: 3 }),
    mode: words,
    vouchers: fc.array(bytes(50), { maxLength: 2 }),
  });
  const statistics: fc.Arbitrary<CheckStatistics> = fc.record({
    day: ms,
    counts: fc.array(fc.record({ code: words, checks: fc.nat() }), { maxLength: 3 }),
  });
  const report: fc.Arbitrary<ClientReport> = fc.record({
    content: fc.oneof(
      fc.record({ $case: fc.constant('failedCheck' as const), failedCheck }),
      fc.record({ $case: fc.constant('statistics' as const), statistics }),
    ),
    coordinator: fc.constant('va1'),
    receivedAt: ms,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(observation, { maxLength: 40 }),
      fc.array(decision, { maxLength: 10 }),
      fc.array(report, { maxLength: 10 }),
      async (some, records, reports) => {
        const reads = [
          ...some.map((one) =>
            readObservation(
              {
                subject: 'mecai.observation.lima.va1',
                data: encodeObservation(one, key),
                receivedAt: now,
                waiting: 0,
              },
              context(),
            ),
          ),
          ...records.map((one) => record('decision', Decision.encode(one).finish())),
          ...reports.map((one) => record('report', ClientReport.encode(one).finish())),
        ];
        const events = reads.filter(stored);
        faults += reads.length - events.length;
        for (const event of events) {
          if (event.table === 'observations') expect(errorClasses).toContain(event.common.error_class);
        }
        const written = await writer.write(events.map((event) => ({ event, redelivered: false })));
        rows += written.stored;
        expect(written.stored + written.repeated).toBe(events.length);
      },
    ),
    { numRuns: 30 },
  );
  const counts = await countRows(writer.store!);
  const [reported] = await writer.store!.query<{ rows: number }>(
    'SELECT (SELECT count() FROM client_reports) + (SELECT count() FROM client_statistics) AS rows',
  );
  expect(reported!.rows).toBeGreaterThan(10);
  expect(counts.observations + counts.decisions + reported!.rows).toBe(rows);
  expect(rows).toBeGreaterThan(50);
  expect(faults).toBeGreaterThan(50);
  await writer.close();
});

function record(kind: string, data: Uint8Array): Read {
  const arrival = { receivedAt: now, waiting: 0 };
  return readRecord({ ...arrival, subject: `mecai.${kind}.va1`, data }, { agents, certificates });
}

it('makes faults of bytes that are nothing', () => {
  fc.assert(
    fc.property(
      bytes(200),
      fc.constantFrom('observation', 'decision', 'mismatch', 'report'),
      (data, kind) => {
        const arrival = { subject: `mecai.${kind}.lima.va1`, data, receivedAt: now, waiting: 0 };
        const read =
          kind === 'observation'
            ? readObservation(arrival, context())
            : readRecord({ ...arrival, subject: `mecai.${kind}.va1` }, { agents, certificates });
        expect(stored(read)).toBe(false);
      },
    ),
    { numRuns: 1000 },
  );
});

it('says of the evidence of a mismatch whether it holds', () => {
  const probed: Observation = {
    nonce: nonceOf(1),
    agent: 'lima',
    target: makeDecision(1, now).targets[0],
    observedAt: now,
    chain: [Uint8Array.of(1)],
    possessionProven: true,
    tls: undefined,
    ocsp: [],
    sctLists: [],
    timings: undefined,
    failure: undefined,
  };
  const evidence = SignedObservation.decode(encodeObservation(probed, key));
  const record: Mismatch = {
    nonce: nonceOf(1),
    seenAt: now,
    coordinator: 'va1',
    agent: 'lima',
    target: probed.target,
    expected: [nonceOf(2)],
    observed: [Uint8Array.of(1)],
    evidence,
  };
  const holds = (changes: Partial<Mismatch>) => {
    const data = Mismatch.encode({ ...record, ...changes }).finish();
    const read = readRecord(
      { subject: 'mecai.mismatch.va1', data, receivedAt: now, waiting: 0 },
      { agents, certificates },
    );
    return stored(read) && read.table === 'mismatches' ? read.row.evidence_valid : undefined;
  };
  expect(holds({})).toBe(true);
  expect(holds({ evidence: undefined })).toBe(false);
  expect(holds({ nonce: nonceOf(3) })).toBe(false);
  expect(holds({ agent: 'oslo' })).toBe(false);
  expect(holds({ evidence: { ...evidence, signature: Uint8Array.of(0) } })).toBe(false);
  expect(holds({ coordinator: 'va2' })).toBe(undefined);
});

it('verifies all while few wait, and beyond that what tells something new', async () => {
  const judging = new LiveDetection(judgement);
  const probed = { ...aboutLima, possessionProven: true, chain: [Uint8Array.of(1)] };
  const read = (data: Uint8Array, waiting: number) => {
    const subject = 'mecai.observation.lima.va1';
    const found = readObservation(
      { subject, data, receivedAt: now, waiting },
      { ...context(), detection: judging, unverifiedBeyond: 5 },
    );
    return 'row' in found ? (found.row as OwnColumns).verified : found;
  };
  const forged = (observation: Observation) => {
    const signed = SignedObservation.decode(encodeObservation(observation, key));
    return SignedObservation.encode({ ...signed, signature: Uint8Array.of(0) }).finish();
  };
  await judging.opened(emptyStore);
  expect(read(forged(probed), 0)).toEqual({ fault: 'bad-signature' });
  expect(read(forged(probed), 6)).toEqual({ fault: 'bad-signature' });
  expect(read(encodeObservation(probed, key), 6)).toBe(true);
  expect(read(forged(probed), 5)).toEqual({ fault: 'bad-signature' });
  expect(read(forged(probed), 6)).toBe(false);
  // Another certificate would be evidence.
  expect(read(forged({ ...probed, chain: [Uint8Array.of(2)] }), 6)).toEqual({ fault: 'bad-signature' });
});

it('stores a share of the matches, each standing for the others, and all the rest', () => {
  const detection = { expects: () => false, contested: () => false, rulesVersion: 1 };
  const weights = (verdict: string, matchesStored: number) =>
    Array.from({ length: 400 }, (_, n) => {
      const data = encodeObservation({ ...aboutLima, nonce: nonceOf(n) }, key);
      const judged = { ...detection, judge: () => verdict } as unknown as ReadContext['detection'];
      const arrival = { subject: 'mecai.observation.lima.va1', data, receivedAt: now, waiting: 0 };
      const found = readObservation(arrival, { ...context(), detection: judged, matchesStored });
      return 'row' in found ? (found.row as OwnColumns).weight : 0;
    });
  const total = (list: readonly number[]) => list.reduce((sum, weight) => sum + weight, 0);
  expect(new Set(weights('match', 1))).toEqual(new Set([1]));
  expect(new Set(weights('mismatch', 0.25))).toEqual(new Set([1]));
  const sampled = weights('match', 0.25);
  expect(new Set(sampled)).toEqual(new Set([0, 4]));
  expect(Math.abs(total(sampled) - 400)).toBeLessThan(150);
});

const aboutLima: Observation = {
  nonce: nonceOf(1),
  agent: 'lima',
  target: makeDecision(1, now).targets[0],
  observedAt: now,
  chain: [],
  possessionProven: false,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
};
/** A store in which nothing is found. */
const emptyStore = { query: () => Promise.resolve([]) } as unknown as Store;
