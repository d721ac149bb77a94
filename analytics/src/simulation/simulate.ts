import { Detector } from '../detection/detector.ts';
import type { FollowUp } from '../detection/follow-ups.ts';
import type { Incident } from '../detection/incident.ts';
import { rules as currentRules, type Rules } from '../detection/rules.ts';
import type { Place, Sighting } from '../detection/sighting.ts';
import type { Draw, Event } from './event.ts';
import { type EventName, type Family, draws, onRecord } from './events.ts';
import {
  type Internet,
  type ShownKey,
  type Site,
  genuineKey,
  makeInternet,
  publicIssuers,
} from './internet.ts';
import { Random } from './random.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly rules?: Rules;
  readonly sites?: number;
  /** Vouchers asked for in a second: each has six agents look at one site. */
  readonly drawsPerSecond?: number;
  readonly events?: Family;
  /** How long events may begin, after a quiet beginning; and how long it goes on. */
  readonly minutes?: number;
}

export interface Outcome {
  readonly events: readonly Event[];
  /** As they were in the end. */
  readonly incidents: readonly Incident[];
  readonly simulatedMs: number;
  readonly sightings: number;
  /** Rows a second that the detector took in and evaluated. */
  readonly perSecond: number;
}

const second = 1000;
const minute = 60 * second;
const start = Date.UTC(2026, 0, 1);
const quietMs = 25 * minute;
const watchMs = minute;
const watched = 200;
const evaluateMs = 5 * second;
/** One synthetic internet for somewhat more than an hour, and what the detector makes of it. */
export function simulate({ seed, rules = currentRules, ...options }: SimulationOptions): Outcome {
  const random = new Random(seed);
  const internet = makeInternet(random, options.sites ?? 10_000);
  const { minutes = 40 } = options;
  const events = schedule(random, internet, options.events ?? onRecord, minutes);
  // As long as the longest event goes on, and its incident stays open.
  const end = start + quietMs + (minutes + 30) * minute;
  const run = new Run(random, internet, events, new Detector({ rules }));
  let busy = 0;
  for (let now = start; now < end; now += second) {
    const sightings = run.second(now, options.drawsPerSecond ?? 25);
    const began = performance.now();
    run.feed(sightings);
    if ((now - start) % evaluateMs === 0) run.evaluate(now + second);
    busy += performance.now() - began;
  }
  return {
    events,
    incidents: [...run.incidents.values()],
    simulatedMs: end - start,
    sightings: run.sightings,
    perSecond: (run.sightings / busy) * 1000,
  };
}

/** At random moments; no agent has two things happen to it at once. What finds no room is left out. */
function schedule(random: Random, internet: Internet, wanted: Family, minutes: number): Event[] {
  const events: Event[] = [];
  const countryOf = new Map(internet.agents.map(({ agent, country }) => [agent, country]));
  const countries = ({ agents }: Event) => new Set([...agents].map((agent) => countryOf.get(agent)));
  const each = Object.entries(wanted).flatMap(([name, times]) =>
    Array<EventName>(times).fill(name as EventName),
  );
  for (const name of each) {
    for (let tries = 0; tries < 100; tries++) {
      const from = start + quietMs + random.below(minutes * minute);
      const until = from + random.between(8, 15) * minute;
      const draw: Draw = draws[name];
      const event: Event = { name, from, until, ...draw(random, internet, from, until) };
      // Next to a server: nothing that happens to agents.
      const meets = (other: Event) =>
        other.name !== 'near-server' &&
        name !== 'near-server' &&
        other.from < event.until + 12 * minute &&
        event.from < other.until + 12 * minute &&
        [...countries(other)].some((country) => countries(event).has(country));
      if (events.some(meets)) continue;
      events.push(event);
      break;
    }
  }
  return events;
}

class Run {
  readonly incidents = new Map<string, Incident>();
  sightings = 0;
  readonly #random: Random;
  readonly #internet: Internet;
  readonly #events: readonly Event[];
  readonly #detector: Detector;
  readonly #flaky: ReadonlyMap<string, number>;
  readonly #later: { readonly at: number; readonly do: () => void }[] = [];
  readonly #asked: { readonly at: number; readonly agent: Place; readonly site: Site }[] = [];
  readonly #byAddress: ReadonlyMap<string, Site>;
  #serial = 0;

  constructor(random: Random, internet: Internet, events: readonly Event[], detector: Detector) {
    this.#random = random;
    this.#internet = internet;
    this.#events = events;
    this.#detector = detector;
    this.#flaky = new Map(
      random.some(internet.agents, 3).map(({ agent }) => [agent, random.between(0.03, 0.1)]),
    );
    this.#byAddress = new Map(internet.sites.map((site) => [site.address, site]));
  }

  /** What is seen within one second, in order. */
  second(now: number, draws: number): Sighting[] {
    const { sites } = this.#internet;
    const random = this.#random;
    this.#change(now);
    const agents = this.#present(now);
    const seen: Sighting[] = [];
    const at = () => now + random.below(second);
    for (let i = 0; i < draws; i++) {
      const site = random.pick(sites);
      const when = at();
      for (const agent of random.some(agents, 6)) seen.push(this.#probe(agent, site, when, false));
    }
    // A campaign keeps an eye on the popular sites, from everywhere, each once a minute.
    const each = (watched * agents.length * second) / watchMs;
    for (let i = 0; i < each; i++) {
      const n = Math.floor(((now / second) * each + i) % (watched * agents.length));
      const site = sites[n % watched]!;
      seen.push(this.#probe(agents[Math.floor(n / watched)]!, site, at(), false));
    }
    for (let i = this.#asked.length - 1; i >= 0; i--) {
      const { at: when, agent, site } = this.#asked[i]!;
      if (when >= now + second) continue;
      this.#asked.splice(i, 1);
      seen.push(this.#probe(agent, site, when, false), this.#probe(agent, site, when, true));
    }
    return seen.toSorted((a, b) => a.at - b.at);
  }

  feed(sightings: readonly Sighting[]): void {
    this.sightings += sightings.length;
    for (const sighting of sightings) this.#detector.add(sighting);
  }

  evaluate(now: number): void {
    const { changed, followUps } = this.#detector.evaluate(now);
    for (const incident of changed) this.incidents.set(incident.id, incident);
    for (const followUp of followUps) this.#ask(followUp, now);
  }

  #ask({ endpoint, countries }: FollowUp, now: number): void {
    const site = this.#byAddress.get(endpoint.address)!;
    const agents = this.#present(now);
    const there = agents.filter(({ country }) => countries.includes(country));
    const elsewhere = agents.filter(({ country }) => !countries.includes(country));
    for (const agent of [...there, ...this.#random.some(elsewhere, 6)]) {
      this.#asked.push({ at: now + 3000 + this.#random.below(5000), agent, site });
    }
  }

  /** Agents that have joined. */
  #present(now: number): readonly Place[] {
    const late = this.#events.filter(({ joins, from }) => joins && from > now);
    if (late.length === 0) return this.#internet.agents;
    return this.#internet.agents.filter(({ agent }) => !late.some(({ agents }) => agents.has(agent)));
  }

  /** What an agent sees. */
  #probe(agent: Place, site: Site, at: number, control: boolean): Sighting {
    const random = this.#random;
    let fails = site.downUntil > at ? 1 : (this.#flaky.get(agent.agent) ?? 0.004);
    let key: ShownKey | undefined;
    let clock = random.below(400) - 200;
    for (const event of this.#events) {
      if (at < event.from || at >= event.until || !event.agents.has(agent.agent)) continue;
      if (event.sites && !event.sites.has(site)) continue;
      fails = Math.max(fails, event.fails ?? 0);
      clock += event.clock ?? 0;
      key ??= event.forge?.(agent, site, control, at);
    }
    key ??= control ? site.withoutSni : genuineKey(site, agent.rir, random);
    const failed = random.chance(fails);
    const { spki, leaf, issuer, subject, dnsNames } = failed ? nothing : key;
    return {
      id: `o${this.#serial++}`,
      at,
      observedAt: at + clock,
      ...agent,
      address: site.address,
      targetAsn: site.asn,
      port: 443,
      serverName: control ? '' : site.serverName,
      startTls: '',
      keyType: 'ecdsa',
      proven: !failed,
      error: failed ? random.pick(['connect-timeout', 'reset', 'refused']) : '',
      leaf,
      spki,
      issuer,
      subject,
      dnsNames,
    };
  }

  /** Rotations, one place after another; servers and networks of servers that go down. */
  #change(now: number): void {
    const random = this.#random;
    const { sites } = this.#internet;
    for (let i = this.#later.length - 1; i >= 0; i--) {
      if (this.#later[i]!.at <= now) this.#later.splice(i, 1)[0]!.do();
    }
    for (const event of this.#events) {
      if (!event.rotates || event.from < now || event.from >= now + second) continue;
      for (const site of event.sites!) this.#rotate(site, now);
    }
    if (random.chance(0.1))
      this.#rotate(random.chance(0.3) ? sites[random.below(watched)]! : random.pick(sites), now);
    if (random.chance(0.02)) random.pick(sites).downUntil = now + random.between(1, 20) * minute;
    if (random.chance(0.0005)) {
      const { asn } = random.pick(sites.filter((site) => site.asn >= 1000));
      for (const site of sites) if (site.asn === asn) site.downUntil = now + random.between(1, 10) * minute;
    }
  }

  #rotate(site: Site, now: number): void {
    const random = this.#random;
    // Now and then the operator changes the CA on this occasion.
    const issuer = random.pick(random.chance(0.1) ? publicIssuers : site.issuers);
    // Some certificates are for several sites of one operator, and change together.
    const together = random.chance(0.1)
      ? this.#internet.sites
          .slice(0, 2 * watched)
          .filter(({ asn }) => asn === site.asn)
          .slice(0, 5)
      : [site];
    const names = together.map(({ serverName }) => serverName);
    const key = this.#internet.newKey(site.serverName, issuer, [site.serverName, ...names]);
    const staged = random.chance(0.5);
    for (const place of site.shown.keys()) {
      const at = now + (staged ? random.below(20 * minute) : random.below(5 * second));
      for (const one of together) {
        this.#later.push({ at, do: () => one.shown.has(place) && one.shown.set(place, [key]) });
      }
    }
  }
}

const nothing: ShownKey = { spki: '', leaf: '', issuer: '', subject: '', dnsNames: [] };
