import type { IncidentRow, VerdictRow } from '../rows.ts';
import type { Store } from '../store.ts';
import { Detector } from './detector.ts';
import { CertificateNames, incidentsSince, pastKeys, sightingsBetween } from './facts.ts';
import type { Incident } from './incident.ts';
import { evidenceRow, incidentRow } from './incident-rows.ts';
import type { Rules } from './rules.ts';
import type { Place } from './sighting.ts';

export interface RecomputeOptions {
  readonly store: Store;
  readonly rules: Rules;
  readonly maxEndpoints: number;
  readonly placeOf: (agent: string) => Place | undefined;
  /** Milliseconds since 1970: what came from then on, and before then. */
  readonly from: number;
  readonly to: number;
  readonly now: number;
}

export interface Recomputed {
  readonly observations: number;
  /** Observations judged otherwise than when they came. */
  readonly verdicts: number;
  readonly incidents: number;
  /** Incidents of before that these rules do not find. */
  readonly withdrawn: number;
}

const day = 86_400_000;
const chunkMs = 600_000;
const everyMs = 5000;

/**
 * Judges stored observations by these rules, as if they came now: verdicts that differ from the latest go into
 * `verdicts`, so that the one with the highest version is what the newest rules say; incidents replace those with
 * the same id, and incidents of that time that are not found again are withdrawn. The same facts and rules give the
 * same result, however often.
 */
export async function recompute(options: RecomputeOptions): Promise<Recomputed> {
  const { store, rules, from, to, now } = options;
  const detector = new Detector({ rules, maxEndpoints: options.maxEndpoints });
  const before = (await incidentsSince(store, from, options.placeOf)).filter(
    ({ since }) => since >= from && since < to,
  );
  // Only what was known at the time.
  for (const key of await pastKeys(store, from - 30 * day, 4 * options.maxEndpoints)) {
    if (key.at < from) detector.remember(key, Math.min(key.lastAt, from));
  }
  const names = new CertificateNames(store);
  const incidents = new Map<string, Incident>();
  let [observations, verdicts] = [0, 0];
  let tick = from - rules.viewMs;
  const evaluate = async (at: number) => {
    const { changed, evidence } = detector.evaluate(at);
    for (const incident of changed) incidents.set(incident.id, incident);
    const rows = evidence.map(evidenceRow);
    await store.insert(
      'incident_evidence',
      rows,
      rows.map(({ incident, role, observation }) => `${now} ${incident} ${role} ${observation}`),
    );
  };
  for (let at = from - rules.viewMs; at < to; at += chunkMs) {
    const differing: VerdictRow[] = [];
    const chunk = { from: at, to: Math.min(at + chunkMs, to), rulesVersion: rules.version };
    for (const sighting of await sightingsBetween(store, names, chunk)) {
      for (; tick + everyMs <= sighting.at; tick += everyMs) await evaluate(tick + everyMs);
      const verdict = detector.add(sighting);
      if (sighting.at < from) continue;
      observations++;
      if (verdict !== sighting.stored) verdicts++;
      if (verdict === sighting.latest) continue;
      differing.push({
        observation: sighting.id,
        rules_version: rules.version,
        received_at: sighting.at,
        verdict,
      });
    }
    await store.insert(
      'verdicts',
      differing,
      differing.map(({ observation }) => `${now} ${observation}`),
    );
  }
  // What is over by then closes.
  for (; tick < Math.min(to + rules.closeAfterMs + 2 * everyMs, now); tick += everyMs) await evaluate(tick);
  const found = [...incidents.values()].filter(({ since }) => since >= from);
  const gone = before.filter(({ id }) => !incidents.has(id));
  const rows: IncidentRow[] = [
    ...found,
    ...gone.map((incident): Incident => ({ ...incident, state: 'withdrawn', closedAt: now })),
  ].map((incident) => ({ ...incidentRow(incident, now), version: now }));
  await store.insert(
    'incidents',
    rows,
    rows.map(({ id, version }) => `${id} ${version}`),
  );
  return { observations, verdicts, incidents: found.length, withdrawn: gone.length };
}
