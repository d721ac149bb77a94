import type { Logger } from '@mecai/runtime';
import type { IncidentEvidenceRow, IncidentRow, Verdict } from '../rows.ts';
import type { Store } from '../store.ts';
import type { Findings } from './detector.ts';
import { Detector } from './detector.ts';
import { incidentsSince, lastSights, pastKeys } from './facts.ts';
import type { FollowUp } from './follow-ups.ts';
import { evidenceRow, incidentRow } from './incident-rows.ts';
import type { Rules } from './rules.ts';
import type { Place, Sighting } from './sighting.ts';

export interface LiveOptions {
  readonly rules: Rules;
  readonly maxEndpoints: number;
  readonly everyMs: number;
  readonly store: () => Store | undefined;
  readonly placeOf: (agent: string) => Place | undefined;
  readonly now: () => number;
  readonly log: Logger;
  /** An incident has been stored: it is new, has grown, or is over. */
  readonly changed?: (incident: IncidentRow) => void;
  /** Probes that would tell more, for whoever can have agents look. */
  readonly lookAgain?: (followUps: readonly FollowUp[]) => Promise<void>;
}

const day = 86_400_000;
/** Rows read at the start, at most. */
const mostSights = 200_000;
/** Rows of evidence that wait for the store, at most. */
const mostWaiting = 100_000;

/**
 * The detector inside the process: learns from the store what it had seen before a restart, then judges each
 * observation as it comes, and writes incidents every few seconds. The store may be absent for as long as it likes.
 */
export class LiveDetection {
  readonly #options: LiveOptions;
  readonly #detector: Detector;
  /** Sightings that came before the memory was back; then undefined. */
  #early: Sighting[] | undefined = [];
  readonly #incidents = new Map<string, IncidentRow>();
  #evidence: IncidentEvidenceRow[] = [];
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#detector = new Detector({ rules: options.rules, maxEndpoints: options.maxEndpoints });
  }

  get rulesVersion(): number {
    return this.#options.rules.version;
  }

  get openIncidents(): number {
    return [...this.#detector.incidents].length;
  }

  get endpoints(): number {
    return this.#detector.endpoints;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#go(() => this.#tick()), this.#options.everyMs);
  }

  /** The store has been opened: learns from it what had been seen before. */
  opened(store: Store): Promise<void> {
    return this.#go(() => (this.#early ? this.#remember(store) : Promise.resolve()));
  }

  #go(action: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(action).catch((error: unknown) => this.#failed(error));
    return this.#turn;
  }

  /** First opinion about an observation that is about to be stored. */
  judge(sighting: Sighting): Verdict {
    if (!this.#early) return this.#detector.add(sighting);
    this.#early.push(sighting);
    return sighting.proven && sighting.spki !== '' ? 'new' : 'inconclusive';
  }

  /** Whether it only repeats what this agent saw before, and nobody contests that. */
  expects(sighting: Sighting): boolean {
    return this.#early === undefined && this.#detector.expects(sighting);
  }

  /** Whether agents disagree about its endpoint: then its signed bytes are worth keeping. */
  contested(sighting: Sighting): boolean {
    return this.#early === undefined && this.#detector.contested(sighting);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
    const store = this.#options.store();
    if (store && !this.#early) await this.#write(store, this.#detector.evaluate(this.#options.now()));
  }

  async #tick(): Promise<void> {
    const { now, store: storeNow, lookAgain } = this.#options;
    const store = storeNow();
    if (!store) return;
    if (this.#early) await this.#remember(store);
    const findings = this.#detector.evaluate(now());
    const ordered = findings.followUps.length > 0 && lookAgain?.(findings.followUps);
    await this.#write(store, findings);
    await ordered;
  }

  async #remember(store: Store): Promise<void> {
    const { rules, maxEndpoints, now, placeOf } = this.#options;
    const before = now();
    const [past, sights, incidents] = [
      await pastKeys(store, before - 30 * day, 4 * maxEndpoints),
      await lastSights(store, before - rules.viewMs, mostSights),
      await incidentsSince(store, before, placeOf),
    ];
    for (const key of past) this.#detector.remember(key, key.lastAt);
    this.#detector.resume(incidents);
    for (const sighting of sights) this.#detector.add(sighting);
    const early = this.#early!;
    this.#early = undefined;
    for (const sighting of early) this.#detector.add(sighting);
  }

  async #write(store: Store, { changed, evidence }: Findings): Promise<void> {
    const now = this.#options.now();
    for (const incident of changed) this.#incidents.set(incident.id, incidentRow(incident, now));
    if (this.#evidence.length < mostWaiting) this.#evidence.push(...evidence.map(evidenceRow));
    const rows = [...this.#incidents.values()];
    const proof = this.#evidence.splice(0);
    try {
      await store.insert(
        'incident_evidence',
        proof,
        proof.map(({ incident, role, observation }) => `${incident} ${role} ${observation}`),
      );
      proof.length = 0;
      await store.insert(
        'incidents',
        rows,
        rows.map(({ id, version }) => `${id} ${version}`),
      );
    } catch (error) {
      this.#evidence.unshift(...proof);
      throw error;
    }
    for (const row of rows) {
      if (this.#incidents.get(row.id) === row) this.#incidents.delete(row.id);
      this.#options.log.info(
        { incident: row.id, kind: row.kind, state: row.state, confidence: row.confidence },
        row.summary,
      );
      this.#options.changed?.(row);
    }
  }

  #failed(error: unknown): void {
    this.#options.log.warn(
      { reason: error instanceof Error ? error.message : error },
      'incidents not written; trying again',
    );
  }
}
