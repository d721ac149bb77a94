import type { Incident, IncidentKind } from '../detection/incident.ts';
import type { Event, EventName } from './events.ts';
import type { Outcome } from './simulate.ts';

export interface KindScore {
  readonly kind: IncidentKind;
  /** Incidents that are about something that happened, of all. */
  readonly right: number;
  readonly wrong: number;
}

export interface EventScore {
  readonly name: EventName;
  readonly happened: number;
  readonly detected: number;
  /** Milliseconds from the beginning to the incident, in ascending order. */
  readonly times: readonly number[];
}

export interface Score {
  readonly kinds: readonly KindScore[];
  readonly events: readonly EventScore[];
  readonly wrong: readonly Incident[];
  readonly missed: readonly Event[];
}

const kinds: readonly IncidentKind[] = ['regional-interception', 'local-outage', 'faulty-agent'];

/** An incident is right when it is of the kind that is to be expected of an event at that time, and at that place. */
const about = (incident: Incident, { expected, from, until, agents, sites }: Event) =>
  incident.kind === expected &&
  incident.openedAt >= from &&
  incident.since < until &&
  [...incident.places.keys()].every((agent) => agents.has(agent)) &&
  (incident.kind !== 'regional-interception' ||
    [...incident.serverNames].every((name) => [...sites!].some(({ serverName }) => serverName === name)));

/** Incidents that were withdrawn count as well: somebody was alarmed. */
export function score(outcomes: readonly Outcome[]): Score {
  const found = new Map<Event, Incident>();
  const wrong: Incident[] = [];
  const right = new Map<IncidentKind, number>();
  for (const { events, incidents } of outcomes) {
    for (const incident of incidents.toSorted((a, b) => a.openedAt - b.openedAt)) {
      const event = events.find((one) => about(incident, one));
      if (!event) wrong.push(incident);
      else {
        right.set(incident.kind, (right.get(incident.kind) ?? 0) + 1);
        if (!found.has(event)) found.set(event, incident);
      }
    }
  }
  const all = outcomes.flatMap(({ events }) => events);
  const names = [...new Set(all.map(({ name }) => name))];
  return {
    kinds: kinds.map((kind) => ({
      kind,
      right: right.get(kind) ?? 0,
      wrong: wrong.filter((incident) => incident.kind === kind).length,
    })),
    events: names.map((name) => {
      const happened = all.filter((event) => event.name === name);
      const detected = happened.filter((event) => found.has(event));
      return {
        name,
        happened: happened.length,
        detected: detected.length,
        times: detected.map((event) => found.get(event)!.openedAt - event.from).toSorted((a, b) => a - b),
      };
    }),
    wrong,
    missed: all.filter((event) => event.expected && !found.has(event)),
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
