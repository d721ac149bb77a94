import type { Endpoint } from './endpoint.ts';
import { type EvidenceOf, type Incident, endpointText, keep, kept, open, summarise } from './incident.ts';
import type { Failing, Outage } from './outages.ts';
import type { Rules } from './rules.ts';
import type { Place, Sighting } from './sighting.ts';
import type { Suspicion } from './suspicion.ts';
import { Watched } from './watched.ts';

/** Signs of an outage or of a clock that have not shown for this long are over. */
const overMs = 60_000;

/** Opens, grows and closes incidents, and keeps their evidence. */
export class Ledger {
  readonly #rules: Rules;
  readonly #open = new Map<string, Incident>();
  readonly #watched = new Watched();
  readonly #dirty = new Set<Incident>();
  readonly #rows = new Map<string, number>();
  /** Since when an agent sees what nobody else does, and when last. */
  readonly #alone = new Map<string, { readonly since: number; readonly lastAt: number }>();
  #evidence: EvidenceOf[] = [];

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  get open(): Iterable<Incident> {
    return this.#open.values();
  }

  resume(incidents: Iterable<Incident>): void {
    for (const incident of incidents) this.#open.set(incident.id, incident);
  }

  /** Whether an open interception is about this key at this endpoint. */
  has(endpoint: Endpoint, spki: string): boolean {
    return this.#watched.get(endpoint, spki)?.role === 'differs';
  }

  /** A sighting at an endpoint that has shown several keys. */
  note(endpoint: Endpoint, sighting: Sighting): void {
    const watched = this.#watched.get(endpoint, sighting.spki);
    if (!watched) return;
    const { incident, role } = watched;
    this.#add(incident, role, sighting.id, sighting.at, sighting, endpoint, sighting.leaf);
    if (role !== 'differs') return;
    incident.observations++;
    incident.lastEvidenceAt = Math.max(incident.lastEvidenceAt, sighting.at);
    this.#dirty.add(incident);
  }

  /** A key of an open interception has replaced all others, everywhere: it was none, at this endpoint. */
  replaced(endpoint: Endpoint, spki: string, now: number): void {
    const watch = this.#watched.get(endpoint, spki);
    if (watch?.role !== 'differs') return;
    const { incident } = watch;
    if (this.#watched.remove(endpoint, spki, incident)) this.#end(incident, 'withdrawn', now);
  }

  noteFailure(endpoint: Endpoint, sighting: Sighting): void {
    for (const incident of this.#open.values()) {
      if (!incident.places.has(sighting.agent) || !failureReasons.has(incident.reasons[0] ?? '')) continue;
      incident.observations++;
      this.#add(incident, 'failed', sighting.id, sighting.at, sighting, endpoint, '', sighting.error);
      this.#dirty.add(incident);
    }
  }

  interceptions(suspicions: readonly Suspicion[], now: number): void {
    for (const suspicion of suspicions) {
      const { confidence, signs, since, places } = suspicion;
      const mine = this.#matching(suspicion);
      if (!mine && (confidence < this.#rules.openAt || signs.includes('one-agent'))) continue;
      const { issuer } = suspicion.differences[0]!.key;
      const incident =
        mine ?? this.#opened('regional-interception', `${places[0]!.rir} ${issuer}`, since, now);
      incident.confidence = Math.max(incident.confidence, confidence);
      if (!mine || confidence === incident.confidence) incident.reasons = signs;
      this.#grow(incident, suspicion);
      this.#withdraw(({ kind, reasons, places: theirs }) => {
        return kind === 'faulty-agent' && reasons[0] === 'sees-alone' && among(theirs, places);
      }, now);
    }
  }

  /** Agents that see what nobody else does, each by itself. */
  alone(suspicions: readonly Suspicion[], now: number): void {
    const { aloneMs, aloneEndpoints } = this.#rules;
    // With another key each time, there is nothing to hold against each until others have looked.
    for (const [agent, { lastAt }] of this.#alone) if (lastAt < now - aloneMs) this.#alone.delete(agent);
    const single = suspicions.filter((suspicion) => suspicion.signs.includes('one-agent'));
    for (const [agent, theirs] of Map.groupBy(single, ({ places }) => places[0]!.agent)) {
      const endpoints = new Set(theirs.flatMap(({ differences }) => differences.map((one) => one.endpoint)));
      const since = this.#alone.get(agent)?.since ?? Math.min(...theirs.map((suspicion) => suspicion.since));
      this.#alone.set(agent, { since, lastAt: now });
      if (endpoints.size < aloneEndpoints || since > now - aloneMs || this.#involved(agent)) continue;
      const incident =
        this.#about('faulty-agent', 'sees-alone', agent) ??
        this.#opened('faulty-agent', `sees-alone ${agent}`, since, now);
      incident.reasons = ['sees-alone'];
      incident.confidence = 1 - 0.5 ** endpoints.size;
      for (const suspicion of theirs) this.#grow(incident, suspicion);
    }
  }

  outages(outages: readonly Outage[], failing: readonly Failing[], now: number): void {
    for (const outage of outages) {
      const mine = [...this.#open.values()].find(
        ({ kind, places }) => kind === 'local-outage' && among(places, outage.places),
      );
      if (!mine && outage.since > now - this.#rules.aloneMs / 4) continue;
      const incident = mine ?? this.#opened('local-outage', outage.country, outage.since, now);
      incident.reasons = [
        'fails-where-others-do-not',
        outage.whole ? 'all-agents-there' : 'some-agents-there',
      ];
      incident.confidence = Math.max(incident.confidence, outage.confidence);
      this.#stillThere(incident, outage.places, now);
      this.#withdraw(({ kind, reasons, places }) => {
        return kind === 'faulty-agent' && reasons[0] === 'fails-alone' && among(places, outage.places);
      }, now);
    }
    for (const { place, since, confidence } of failing) {
      const there = [...this.#open.values()].find(
        ({ kind, places }) => kind === 'local-outage' && places.has(place.agent),
      );
      const mine = there ?? this.#about('faulty-agent', 'fails-alone', place.agent);
      if (!mine && since > now - this.#rules.aloneMs) continue;
      const incident = mine ?? this.#opened('faulty-agent', `fails-alone ${place.agent}`, since, now);
      if (!there) incident.reasons = ['fails-alone'];
      incident.confidence = Math.max(incident.confidence, confidence);
      this.#stillThere(incident, [place], now);
    }
  }

  clocks(skewed: readonly { readonly place: Place; readonly since: number }[], now: number): void {
    for (const { place, since } of skewed) {
      const incident =
        this.#about('faulty-agent', 'clock', place.agent) ??
        this.#opened('faulty-agent', `clock ${place.agent}`, since, now);
      incident.reasons = ['clock'];
      incident.confidence = 1;
      this.#stillThere(incident, [place], now);
    }
  }

  /** Closes what is over. @returns what has changed since the last time */
  settle(now: number): { changed: Incident[]; evidence: EvidenceOf[] } {
    for (const incident of this.#open.values()) {
      const passing = passingReasons.has(incident.reasons[0] ?? '');
      if (incident.lastEvidenceAt > now - (passing ? overMs : this.#rules.closeAfterMs)) continue;
      this.#end(incident, 'closed', now);
    }
    const changed = [...this.#dirty];
    for (const incident of changed) {
      incident.version = Math.max(incident.version + 1, now);
      incident.summary = summarise(incident);
    }
    this.#dirty.clear();
    const evidence = this.#evidence;
    this.#evidence = [];
    return { changed, evidence };
  }

  #opened(kind: Incident['kind'], where: string, since: number, now: number): Incident {
    const incident = open(kind, where, { since, now, rulesVersion: this.#rules.version });
    this.#open.set(incident.id, incident);
    this.#dirty.add(incident);
    return incident;
  }

  #matching({ differences, places, signs, confidence }: Suspicion): Incident | undefined {
    const unknown = signs.includes('unknown-issuer');
    return [...this.#open.values()].find((incident) => {
      if (incident.kind !== 'regional-interception') return false;
      const countries = new Set([...incident.places.values()].map(({ country }) => country));
      // A public issuer signs for others as well: only what would be an incident by itself, and only there.
      const issuer =
        unknown ||
        (confidence >= this.#rules.openAt && places.every(({ country }) => countries.has(country)));
      return (
        places.some(({ country }) => countries.has(country)) &&
        differences.some(
          ({ key }) => (issuer && incident.issuers.has(key.issuer)) || incident.leafSpkis.has(key.spki),
        )
      );
    });
  }

  #about(kind: Incident['kind'], reason: string, agent: string): Incident | undefined {
    return [...this.#open.values()].find(
      (one) => one.kind === kind && one.reasons[0] === reason && one.places.has(agent),
    );
  }

  /** Part of an interception: seen alone no longer. */
  #involved(agent: string): boolean {
    return [...this.#open.values()].some(
      ({ kind, places }) => kind === 'regional-interception' && places.has(agent),
    );
  }

  #grow(incident: Incident, { differences, places, controls }: Suspicion): void {
    let grown = false;
    for (const place of places) {
      grown ||= !incident.places.has(place.agent);
      incident.places.set(place.agent, place);
    }
    for (const { endpoint, key, genuine, inside, outside } of differences) {
      if (!incident.serverNames.has(endpoint.name.serverName)) incident.namesAffected++;
      keep(incident.serverNames, endpoint.name.serverName);
      grown = keep(incident.endpoints, endpointText(endpoint.name)) || grown;
      grown = keep(incident.leaves, key.leaf) || grown;
      keep(incident.leafSpkis, key.spki);
      keep(incident.issuers, key.issuer);
      keep(incident.genuine, genuine.leaf);
      if (this.#watched.get(endpoint, key.spki)) continue;
      this.#watched.add(endpoint, key.spki, { incident, role: 'differs' });
      this.#watched.add(endpoint, genuine.spki, { incident, role: 'agrees' });
      for (const view of inside) {
        this.#add(incident, 'differs', view.id, view.at, view.place, endpoint, key.leaf);
        incident.observations++;
        incident.lastEvidenceAt = Math.max(incident.lastEvidenceAt, view.at);
      }
      for (const view of outside) {
        this.#add(incident, 'agrees', view.id, view.at, view.place, endpoint, genuine.leaf);
      }
    }
    for (const { endpoint, view } of controls) {
      if (this.#watched.get(endpoint, view.spki, view.place.agent)) continue;
      this.#watched.add(endpoint, view.spki, { incident, role: 'control' }, view.place.agent);
      this.#add(
        incident,
        'control',
        view.id,
        view.at,
        view.place,
        endpoint,
        endpoint.keys.get(view.spki)!.leaf,
      );
    }
    if (grown) this.#dirty.add(incident);
  }

  #stillThere(incident: Incident, places: readonly Place[], now: number): void {
    for (const place of places) {
      if (!incident.places.has(place.agent)) this.#dirty.add(incident);
      incident.places.set(place.agent, place);
    }
    incident.lastEvidenceAt = now;
  }

  #withdraw(which: (incident: Incident) => boolean, now: number): void {
    for (const incident of this.#open.values()) if (which(incident)) this.#end(incident, 'withdrawn', now);
  }

  #end(incident: Incident, state: 'closed' | 'withdrawn', now: number): void {
    incident.state = state;
    incident.closedAt = now;
    this.#open.delete(incident.id);
    this.#dirty.add(incident);
    this.#watched.removeAll(incident);
    for (const role of ['differs', 'agrees', 'control', 'failed'])
      this.#rows.delete(`${incident.id} ${role}`);
  }

  #add(
    incident: Incident,
    role: EvidenceOf['role'],
    observation: string,
    at: number,
    { agent, country, rir, asn }: Place,
    endpoint: Endpoint,
    leaf: string,
    error = '',
  ): void {
    const key = `${incident.id} ${role}`;
    const rows = this.#rows.get(key) ?? 0;
    if (rows >= kept) return;
    this.#rows.set(key, rows + 1);
    const place = { agent, country, rir, asn };
    this.#evidence.push({
      incident: incident.id,
      role,
      observation,
      at,
      place,
      endpoint: endpoint.name,
      leaf,
      error,
    });
  }
}

const failureReasons: ReadonlySet<string> = new Set(['fails-where-others-do-not', 'fails-alone']);
const passingReasons: ReadonlySet<string> = new Set([...failureReasons, 'clock']);

const among = (places: ReadonlyMap<string, Place>, others: readonly Place[]) =>
  others.some(({ agent }) => places.has(agent));
