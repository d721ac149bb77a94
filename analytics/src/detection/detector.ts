import type { Verdict } from '../rows.ts';
import { Clocks } from './clocks.ts';
import { type Difference, differencesOf, hasReplaced } from './differences.ts';
import { Endpoint, type SeenKey } from './endpoint.ts';
import { type FollowUp, FollowUps } from './follow-ups.ts';
import type { EvidenceOf, Incident } from './incident.ts';
import { Ledger } from './ledger.ts';
import { Outages } from './outages.ts';
import { Reputation } from './reputation.ts';
import type { Rules } from './rules.ts';
import { type EndpointName, type Sighting, endpointKey } from './sighting.ts';
import { groupsOf, weigh } from './suspicion.ts';

export interface Findings {
  /** Incidents that are new or have changed. */
  readonly changed: readonly Incident[];
  readonly evidence: readonly EvidenceOf[];
  /** Probes that would tell more. */
  readonly followUps: readonly FollowUp[];
}

export interface DetectorOptions {
  readonly rules: Rules;
  /** Endpoints remembered; those not probed for longest are forgotten. */
  readonly maxEndpoints?: number;
}

/**
 * The rules over a stream of facts: `add` each sighting in the order it came, `evaluate` every few seconds. The
 * same facts give the same incidents, live, from the store and from the simulation. Memory is bounded by
 * `maxEndpoints`, about 2 KB each with forty agents.
 */
export class Detector {
  readonly #rules: Rules;
  readonly #maxEndpoints: number;
  readonly #endpoints = new Map<string, Endpoint>();
  /** Those with several keys that were probed since the last evaluation. */
  readonly #touched = new Set<Endpoint>();
  readonly #differences = new Map<Endpoint, readonly Difference[]>();
  readonly #reputation = new Reputation();
  readonly #outages = new Outages();
  readonly #clocks = new Clocks();
  readonly #followUps = new FollowUps();
  readonly #ledger: Ledger;
  #last: Sighting | undefined;
  #lastKey = '';

  constructor({ rules, maxEndpoints = 50_000 }: DetectorOptions) {
    this.#rules = rules;
    this.#maxEndpoints = maxEndpoints;
    this.#ledger = new Ledger(rules);
  }

  get endpoints(): number {
    return this.#endpoints.size;
  }

  get incidents(): Iterable<Incident> {
    return this.#ledger.open;
  }

  /** Incidents that were open before a restart. */
  resume(incidents: Iterable<Incident>): void {
    this.#ledger.resume(incidents);
  }

  /** What is known from before: a key that an endpoint showed to a country; in the order of first sights. */
  remember(first: Sighting, lastAt: number): void {
    const key = endpointKey(first);
    const endpoint = this.#endpoints.get(key) ?? new Endpoint(nameOf(first), first.targetAsn);
    if (!this.#endpoints.has(key) && this.#endpoints.size >= this.#maxEndpoints) return;
    this.#endpoints.set(key, endpoint);
    const regions = endpoint.keys.get(first.spki)?.rirs.size ?? 0;
    const seen = endpoint.remember(first, lastAt);
    if (regions < 2 && seen.rirs.size === 2) this.#reputation.learn(endpoint, seen);
  }

  /** Whether a sighting only repeats what this agent saw before, where all agree; or has seen nothing. */
  expects(sighting: Sighting): boolean {
    if (!sighting.proven) return true;
    const endpoint = this.#endpoints.get(this.#keyOf(sighting));
    return endpoint?.keys.size === 1 && endpoint.views.get(sighting.agent)?.spki === sighting.spki;
  }

  /** Whether agents see different keys at the endpoint, and not for a reason that is benign. */
  contested(sighting: Sighting): boolean {
    if (this.#differences.size === 0) return false;
    const endpoint = this.#endpoints.get(this.#keyOf(sighting));
    const differences = endpoint && this.#differences.get(endpoint);
    return differences?.some(({ benign }) => !benign || benign === 'rotation') ?? false;
  }

  /** Takes in what an agent saw, and gives the first opinion about it. */
  add(sighting: Sighting): Verdict {
    this.#clocks.add(sighting, this.#rules.clockMs);
    const key = this.#keyOf(sighting);
    let endpoint = this.#endpoints.get(key);
    if (!sighting.proven || sighting.spki === '') {
      if (endpoint && sighting.error !== '') this.#count(endpoint.fail(sighting), endpoint);
      return 'inconclusive';
    }
    const full = this.#endpoints.size >= this.#maxEndpoints;
    if (!endpoint || full) {
      // Taken out and put in again, so that the first of the map is the one not probed for longest.
      if (endpoint) this.#endpoints.delete(key);
      else endpoint = new Endpoint(nameOf(sighting), sighting.targetAsn);
      this.#endpoints.set(key, endpoint);
      if (this.#endpoints.size > this.#maxEndpoints) this.#forgetOne();
    }
    if (endpoint.answersElsewhere(sighting.country) > sighting.at - 600_000) {
      this.#outages.add(sighting, false, this.#rules);
    }
    this.#count(endpoint.confirm(sighting.country, sighting.at), endpoint);
    const regions = endpoint.keys.get(sighting.spki)?.rirs.size ?? 0;
    const seen = endpoint.see(sighting);
    if (regions < 2 && seen.rirs.size === 2) this.#reputation.learn(endpoint, seen);
    if (endpoint.keys.size > 1) {
      // Without SNI it is a control, not a name that somebody asks for.
      if (sighting.serverName !== '') this.#touched.add(endpoint);
      this.#ledger.note(endpoint, sighting);
    }
    // Whoever else sees it by now: it is what an open incident is about.
    if (this.#ledger.has(endpoint, sighting.spki)) return 'mismatch';
    return endpoint.judge(sighting, this.#rules.viewMs);
  }

  /** What follows at this moment from what was added. */
  evaluate(now: number): Findings {
    const rules = this.#rules;
    const memory = {
      usual: (endpoint: Endpoint, { issuer }: SeenKey) =>
        this.#public(issuer) && this.#reputation.uses(endpoint, issuer, rules.knownNetwork) !== false,
      watched: (endpoint: Endpoint, { spki }: SeenKey) => this.#ledger.has(endpoint, spki),
    };
    for (const endpoint of this.#touched) {
      for (const key of endpoint.keys.values()) {
        if (this.#ledger.has(endpoint, key.spki) && hasReplaced(endpoint, key, now, rules)) {
          this.#ledger.replaced(endpoint, key.spki, now);
        }
      }
      const differences = differencesOf(endpoint, now, rules, memory);
      if (differences.length === 0) this.#differences.delete(endpoint);
      else this.#differences.set(endpoint, differences);
    }
    this.#touched.clear();
    const suspect: Difference[] = [];
    for (const [endpoint, differences] of this.#differences) {
      const fresh = differences.filter(({ inside }) =>
        inside.some(({ at }) => at > now - rules.closeAfterMs),
      );
      if (fresh.length === 0) this.#differences.delete(endpoint);
      for (const difference of fresh) {
        if (!difference.benign) suspect.push(difference);
        if (!difference.benign || difference.benign === 'rotation') this.#followUps.want(difference, now);
      }
    }
    const control = ({ name }: Endpoint) => this.#endpoints.get(endpointKey({ ...name, serverName: '' }));
    const suspicions = groupsOf(suspect, (issuer) => this.#public(issuer)).map((group) =>
      weigh(group, this.#reputation, control, rules),
    );
    this.#ledger.interceptions(suspicions, now);
    this.#ledger.alone(suspicions, now);
    const { outages, failing } = this.#outages.evaluate(now, rules);
    this.#ledger.outages(outages, failing, now);
    this.#ledger.clocks(this.#clocks.skewed(rules.clockMs), now);
    const { changed, evidence } = this.#ledger.settle(now);
    return { changed, evidence, followUps: this.#followUps.take(now) };
  }

  #count(failures: readonly Sighting[], endpoint: Endpoint): void {
    for (const failure of failures) {
      this.#outages.add(failure, true, this.#rules);
      this.#ledger.noteFailure(endpoint, failure);
    }
  }

  /** Asked for up to three times about the same sighting. */
  #keyOf(sighting: Sighting): string {
    if (sighting.key !== undefined) return sighting.key;
    if (this.#last !== sighting) {
      this.#last = sighting;
      this.#lastKey = endpointKey(sighting);
    }
    return this.#lastKey;
  }

  #forgetOne(): void {
    const [key, endpoint] = this.#endpoints.entries().next().value!;
    this.#endpoints.delete(key);
    this.#touched.delete(endpoint);
    this.#differences.delete(endpoint);
  }

  #public(issuer: string): boolean {
    return this.#reputation.endpointsOf(issuer) >= this.#rules.publicIssuer;
  }
}

const nameOf = ({ address, port, serverName, startTls, keyType }: Sighting): EndpointName => ({
  address,
  port,
  serverName,
  startTls,
  keyType,
});
