import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Store } from '../store.ts';
import { LiveDetection } from './live.ts';
import { recompute } from './recompute.ts';
import { rules } from './rules.ts';
import type { Place } from './sighting.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-recompute-'));
const log = createLogger('recompute', 'silent');
const hour = 3_600_000;
const now = Date.UTC(2026, 0, 2);
const from = now - 2 * hour;
const places: readonly Place[] = [
  { agent: 'berlin', country: 'DE', rir: 'ripencc', asn: 1 },
  { agent: 'ashburn', country: 'US', rir: 'arin', asn: 3 },
  { agent: 'lima', country: 'PE', rir: 'lacnic', asn: 4 },
  { agent: 'almaty', country: 'KZ', rir: 'ripencc', asn: 5 },
  { agent: 'astana', country: 'KZ', rir: 'ripencc', asn: 6 },
];
let store: Store;
const options = () => ({
  store,
  rules,
  maxEndpoints: 1000,
  placeOf: (agent: string) => places.find((one) => one.agent === agent),
  from,
  to: now,
  now,
});

beforeAll(async () => {
  store = await Store.open(
    { store: { kind: 'embedded', directory: join(directory, 'store') }, retentionDays: 0, insertMs: 10_000 },
    log,
  );
  await store.command(
    `INSERT INTO certificates (fingerprint, subject, dns_names)
     SELECT arrayJoin(['genuine', 'forged']), 'CN=www.example', ['www.example']`,
  );
  // Each agent looks every minute; from the thirtieth to the fortieth, Kazakhstan sees another certificate.
  for (const { agent, country, rir, asn } of places) {
    const forged = country === 'KZ' ? 'number BETWEEN 30 AND 39' : 'false';
    await store.command(
      `INSERT INTO observations (id, received_at, observed_at, agent, country, rir, asn, address, port, server_name,
         key_type, chain, leaf, leaf_spki, issuer, possession_proven, verified, verdict, rules_version, weight)
       SELECT '${agent} ' || toString(number), fromUnixTimestamp64Milli(${from} + number * 60000) AS at, at, '${agent}',
         '${country}', '${rir}', ${asn}, '192.0.2.1', 443, 'www.example', 'ecdsa', [leaf], leaf, leaf, 'CN=' || leaf,
         true, true, 'match', 1, 1
       FROM (SELECT number, if(${forged}, 'forged', 'genuine') AS leaf FROM numbers(100))`,
    );
  }
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

const incidents = () =>
  store.query<{ id: string; kind: string; state: string; agents: string[] }>(
    'SELECT id, kind, state, agents FROM incidents FINAL ORDER BY kind',
  );

it('finds in stored facts what there was, the same each time; what later rules do not find is withdrawn', async () => {
  const first = await recompute(options());
  expect(first).toMatchObject({ observations: 500, incidents: 1, withdrawn: 0 });
  expect(first.verdicts).toBeGreaterThan(0);
  const found = await incidents();
  expect(found).toMatchObject([
    { kind: 'regional-interception', state: 'closed', agents: ['almaty', 'astana'] },
  ]);
  const [proof] = await store.query<{ differs: number; agrees: number }>(
    `SELECT countIf(role = 'differs') AS differs, countIf(role = 'agrees') AS agrees FROM incident_evidence FINAL
     WHERE incident IN (SELECT id FROM incidents)`,
  );
  expect(proof!.differs).toBe(20);
  expect(proof!.agrees).toBeGreaterThan(20);

  expect(await recompute({ ...options(), now: now + 1 })).toEqual(first);
  expect(await incidents()).toEqual(found);

  const blind = { ...rules, version: 2, openAt: 1 };
  expect(await recompute({ ...options(), rules: blind, now: now + 2 })).toMatchObject({
    incidents: 0,
    withdrawn: 1,
  });
  expect(await incidents()).toMatchObject([{ id: found[0]!.id, state: 'withdrawn' }]);
});

/** How often each verdict was given and counts, by the tour's query; and what there is of each version. */
const judged = async () => ({
  counts: await store.query(
    `SELECT if(v.version >= o.rules_version, v.verdict, o.verdict) AS verdict, count() AS n
     FROM observations AS o LEFT JOIN (
       SELECT observation, max(rules_version) AS version, argMax(verdict, rules_version) AS verdict
       FROM verdicts FINAL GROUP BY observation
     ) AS v ON v.observation = o.id GROUP BY verdict ORDER BY verdict`,
  ),
  versions: await store.query(
    `SELECT rules_version AS version, verdict, count() AS n FROM (
       SELECT rules_version, verdict FROM verdicts FINAL UNION ALL SELECT rules_version, verdict FROM observations
     ) GROUP BY version, verdict ORDER BY version, verdict`,
  ),
});

it('verdicts of several versions stand side by side, and the newest counts, also where it is the first again', async () => {
  await store.command('TRUNCATE TABLE verdicts');
  const version3 = { ...rules, version: 3 };
  // Nothing is remembered for long enough to be compared with: other opinions than those of the usual rules.
  const version4 = { ...rules, version: 4, viewMs: 1 };
  await recompute({ ...options(), rules: version3, now: now + 3 });
  const third = await judged();
  await recompute({ ...options(), rules: version4, now: now + 4 });
  const fourth = await judged();
  expect(fourth.counts).not.toEqual(third.counts);
  // What was judged before stays.
  expect(fourth.versions).toEqual(expect.arrayContaining(third.versions));
  const version5 = { ...version3, version: 5 };
  await recompute({ ...options(), rules: version5, now: now + 5 });
  const fifth = await judged();
  expect(fifth.counts).toEqual(third.counts);
  await recompute({ ...options(), rules: version5, now: now + 6 });
  expect(await judged()).toEqual(fifth);
});

it('after a restart the detector remembers keys, sights and open incidents', async () => {
  const at = from + 35 * 60_000;
  const live = new LiveDetection({
    ...options(),
    everyMs: 60_000,
    store: () => store,
    now: () => at,
    log,
  });
  await live.opened(store);
  expect(live.endpoints).toBe(1);
  await live.stop();
});
