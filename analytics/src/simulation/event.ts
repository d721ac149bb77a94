import type { IncidentKind } from '../detection/incident.ts';
import type { Place } from '../detection/sighting.ts';
import { type Internet, type ShownKey, type Site, publicIssuers } from './internet.ts';
import type { Random } from './random.ts';

/** Something that happens: what it does to a probe, and what should be noticed of it. */
export interface Event {
  readonly name: string;
  readonly from: number;
  readonly until: number;
  /** What a detector should say; undefined: nothing, since it is no attack or nobody could tell. */
  readonly expected: IncidentKind | undefined;
  readonly agents: ReadonlySet<string>;
  /** Sites concerned; undefined: all. */
  readonly sites: ReadonlySet<Site> | undefined;
  /** Another certificate for this agent at this site; undefined: the probe gets through. */
  readonly forge?: (agent: Place, site: Site, control: boolean, at: number) => ShownKey | undefined;
  /** Share of probes that fail. */
  readonly fails?: number;
  /** Milliseconds by which the clock of the agents is off. */
  readonly clock?: number;
  /** The agents were not there before. */
  readonly joins?: boolean;
  /** The sites get new certificates at the same time. */
  readonly rotates?: boolean;
}

export type Draw = (
  random: Random,
  internet: Internet,
  from: number,
  until: number,
) => Omit<Event, 'name' | 'from' | 'until'> & Partial<Pick<Event, 'from' | 'until'>>;

export const inCountry = ({ agents }: Internet, country: string): Place[] =>
  agents.filter((one) => one.country === country);

export const names = (agents: readonly Place[]): ReadonlySet<string> =>
  new Set(agents.map(({ agent }) => agent));

/** Sites that attackers are after are among those that many people use. */
export const famous = (internet: Internet): readonly Site[] => internet.sites.slice(0, 200);

/** Countries with so many agents. */
export const severalAgents = (internet: Internet, least: number): string[] =>
  [...Map.groupBy(internet.agents, ({ country }) => country)]
    .filter(([, agents]) => agents.length >= least)
    .map(([country]) => country);

/** Agents that share a network. */
export const severalInOne = (internet: Internet): Place[][] =>
  [...Map.groupBy(internet.agents, ({ asn }) => asn).values()].filter((agents) => agents.length > 1);

/** A public CA that the operator of the sites does not use. */
export const foreignIssuer = (random: Random, sites: Iterable<Site>): string => {
  const used = new Set([...sites].flatMap(({ issuers }) => issuers));
  return random.pick(publicIssuers.filter((issuer) => !used.has(issuer)));
};
