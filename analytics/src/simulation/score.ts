import type { Incident, IncidentKind } from '../detection/incident.ts';
import type { Event } from './event.ts';
import type { Outcome } from './simulate.ts';

export interface KindScore {
  /** Incidents that are about something that happened, of all. */
  readonly right: number;
  readonly wrong: number;
}

export interface EventScore {
  readonly happened: number;
  /** Called what it is. */
  readonly detected: number;
  /** No attack or none that anybody could tell, and yet called an interception. */
  readonly mistaken: number;
  /** Milliseconds from the beginning to the incident, in ascending order. */
  readonly times: readonly number[];
}

/** What came of some runs; plain data, so that it can come from other threads. */
export interface Score {
  readonly runs: number;
  readonly simulatedMs: number;
  readonly sightings: number;
  readonly kinds: Readonly<Record<IncidentKind, KindScore>>;
  readonly events: ReadonlyMap<string, EventScore>;
  readonly wrong: readonly Incident[];
  /** Names of the events. */
  readonly missed: readonly string[];
}

/** An incident is about an event at that time and place, if it names nothing else. */
const about = ({ openedAt, since, places, serverNames, kind }: Incident, event: Event) =>
  openedAt >= event.from &&
  since < event.until &&
  [...places.keys()].every((agent) => event.agents.has(agent)) &&
  (kind !== 'regional-interception' ||
    !event.sites ||
    [...serverNames].every((name) => [...event.sites!].some(({ serverName }) => serverName === name)));

/** Incidents that were withdrawn count as well: somebody was alarmed. */
export function score({ events, incidents, simulatedMs, sightings }: Outcome): Score {
  const found = new Map<Event, Incident>();
  const mistaken = new Set<Event>();
  const wrong: Incident[] = [];
  const kinds = {
    'regional-interception': { right: 0, wrong: 0 },
    'local-outage': { right: 0, wrong: 0 },
    'faulty-agent': { right: 0, wrong: 0 },
  };
  for (const incident of incidents.toSorted((a, b) => a.openedAt - b.openedAt)) {
    const event = events.find((one) => one.expected === incident.kind && about(incident, one));
    if (event) {
      kinds[incident.kind].right++;
      if (!found.has(event)) found.set(event, incident);
      continue;
    }
    kinds[incident.kind].wrong++;
    wrong.push(incident);
    const taken = events.find((one) => !one.expected && about(incident, one));
    if (taken && incident.kind === 'regional-interception') mistaken.add(taken);
  }
  const scores = [...Map.groupBy(events, ({ name }) => name)].map(
    ([name, happened]): [string, EventScore] => {
      const detected = happened.filter((event) => found.has(event));
      return [
        name,
        {
          happened: happened.length,
          detected: detected.length,
          mistaken: happened.filter((event) => mistaken.has(event)).length,
          times: detected.map((event) => found.get(event)!.openedAt - event.from).toSorted((a, b) => a - b),
        },
      ];
    },
  );
  return {
    runs: 1,
    simulatedMs,
    sightings,
    kinds,
    events: new Map(scores),
    wrong,
    missed: events.filter((event) => event.expected && !found.has(event)).map(({ name }) => name),
  };
}

/** The scores of several runs as one. */
export function together(scores: readonly Score[]): Score {
  const sum = (of: (score: Score) => number) => scores.reduce((total, one) => total + of(one), 0);
  const kind = (name: IncidentKind): KindScore => ({
    right: sum(({ kinds }) => kinds[name].right),
    wrong: sum(({ kinds }) => kinds[name].wrong),
  });
  const events = [...new Set(scores.flatMap((one) => [...one.events.keys()]))].map(
    (name): [string, EventScore] => {
      const those = scores.flatMap((one) => one.events.get(name) ?? []);
      const total = (of: (one: EventScore) => number) => those.reduce((all, one) => all + of(one), 0);
      return [
        name,
        {
          happened: total(({ happened }) => happened),
          detected: total(({ detected }) => detected),
          mistaken: total((one) => one.mistaken),
          times: those.flatMap(({ times }) => times).toSorted((a, b) => a - b),
        },
      ];
    },
  );
  return {
    runs: sum(({ runs }) => runs),
    simulatedMs: sum(({ simulatedMs }) => simulatedMs),
    sightings: sum(({ sightings }) => sightings),
    kinds: {
      'regional-interception': kind('regional-interception'),
      'local-outage': kind('local-outage'),
      'faulty-agent': kind('faulty-agent'),
    },
    events: new Map(events),
    wrong: scores.flatMap(({ wrong }) => wrong),
    missed: scores.flatMap(({ missed }) => missed),
  };
}

/** Bounds of a share that was `right` of `all` in a sample, at 95 % confidence (Wilson, JASA 22, 1927). */
export function wilson(right: number, all: number): readonly [low: number, high: number] {
  if (all === 0) return [0, 1];
  const z = 1.959964;
  const share = right / all;
  const middle = share + z ** 2 / (2 * all);
  const half = z * Math.sqrt((share * (1 - share)) / all + z ** 2 / (4 * all ** 2));
  const bound = (value: number) => Math.min(1, Math.max(0, value / (1 + z ** 2 / all)));
  return [bound(middle - half), bound(middle + half)];
}
