import type { IncidentKind } from '../detection/incident.ts';
import type { Place } from '../detection/sighting.ts';
import { type Internet, type ShownKey, type Site, publicIssuers } from './internet.ts';
import type { Random } from './random.ts';

/** Something that happens: what it does to a probe, and what should be noticed of it. */
export interface Event {
  readonly name: EventName;
  readonly from: number;
  readonly until: number;
  /** What a detector should say; undefined: nothing, for nobody could tell. */
  readonly expected: IncidentKind | undefined;
  readonly agents: ReadonlySet<string>;
  /** Addresses concerned; undefined: all. */
  readonly sites: ReadonlySet<Site> | undefined;
  /** Another certificate for this agent at this site; undefined: the probe gets through. */
  readonly forge?: (agent: Place, site: Site, control: boolean) => ShownKey | undefined;
  /** Share of probes that fail. */
  readonly fails?: number;
  /** Milliseconds by which the clock of the agents is off. */
  readonly clock?: number;
}

export type EventName =
  /** Kazakhstan 2019: triggered by SNI, some networks, 37 names, 7 to 24 % of the paths; one root of the state. */
  | 'kazakhstan-2019'
  /** DigiNotar, Iran 2011: one country, one wildcard certificate by a public CA. */
  | 'diginotar-2011'
  /** Syria 2011: one network, one site, an issuer nobody knows. */
  | 'syria-2011'
  /** Next to the server: everyone sees the same. */
  | 'near-server'
  | 'local-outage'
  | 'lying-agent'
  | 'failing-agent'
  | 'clock';

type Draw = (random: Random, internet: Internet, from: number, until: number) => Event;

const inCountry = ({ agents }: Internet, country: string) => agents.filter((one) => one.country === country);
const names = (agents: readonly Place[]) => new Set(agents.map(({ agent }) => agent));
/** Sites that attackers are after are among those that many people use. */
const famous = (internet: Internet) => internet.sites.slice(0, 200);

/** The same for one pair each time, in [0, 1). */
function pathOf(agent: string, address: string, salt: number): number {
  let hash = salt;
  for (const character of agent + address) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}

const severalAgents = (internet: Internet, least: number) =>
  [...Map.groupBy(internet.agents, ({ country }) => country)]
    .filter(([, agents]) => agents.length >= least)
    .map(([country]) => country);

const severalInOne = (internet: Internet) =>
  [...Map.groupBy(internet.agents, ({ asn }) => asn).values()].filter((agents) => agents.length > 1);

export const draws: Readonly<Record<EventName, Draw>> = {
  'kazakhstan-2019': (random, internet, from, until) => {
    const country = random.pick(severalAgents(internet, 3));
    const all = inCountry(internet, country);
    const networks = [...new Set(all.map(({ asn }) => asn))];
    const affected = random.some(networks, Math.max(1, networks.length - random.below(2)));
    let agents = all.filter(({ asn }) => affected.includes(asn));
    if (agents.length < 2) agents = all;
    const sites = new Set(random.some(famous(internet), 37));
    const share = random.between(0.07, 0.24);
    let salt = random.below(2 ** 31);
    // Who is not on one of those paths sees nothing, and one agent alone cannot be told from a liar.
    const meets = ({ agent }: Place) =>
      [...sites].some(({ address }) => pathOf(agent, address, salt) < share);
    while (agents.filter(meets).length < 2) salt = random.below(2 ** 31);
    const forged = new Map<Site, ShownKey>();
    for (const site of sites) {
      const issuer = `C=${country}, CN=State Root ${salt}`;
      forged.set(site, internet.newKey(site.serverName, issuer, [site.serverName]));
    }
    return {
      name: 'kazakhstan-2019',
      from,
      until,
      expected: 'regional-interception',
      agents: names(agents),
      sites,
      forge: ({ agent }, site, control) =>
        !control && pathOf(agent, site.address, salt) < share ? forged.get(site) : undefined,
    };
  },

  'diginotar-2011': (random, internet, from, until) => {
    const agents = inCountry(internet, random.pick(severalAgents(internet, 2)));
    // Services of one operator, which has its own network.
    const operator = random.pick([100, 101, 102, 103, 104]);
    const own = famous(internet).filter(({ asn }) => asn === operator);
    const sites = new Set(random.some(own, 3 + random.below(6)));
    const foreign = publicIssuers.filter((issuer) => own.every(({ issuers }) => !issuers.includes(issuer)));
    const wildcard = internet.newKey(
      '',
      random.pick(foreign),
      [...sites].map(({ serverName }) => serverName),
    );
    return {
      name: 'diginotar-2011',
      from,
      until,
      expected: 'regional-interception',
      agents: names(agents),
      sites,
      forge: () => wildcard,
    };
  },

  'syria-2011': (random, internet, from, until) => {
    const agents = random.pick(severalInOne(internet));
    const site = random.pick(famous(internet));
    const forged = internet.newKey(site.serverName, `CN=${site.serverName}`, [site.serverName]);
    return {
      name: 'syria-2011',
      from,
      until,
      expected: 'regional-interception',
      agents: names(agents),
      sites: new Set([site]),
      forge: () => forged,
    };
  },

  'near-server': (random, internet, from, until) => {
    const first = random.pick(internet.sites);
    const count = 1 + random.below(5);
    const sites = internet.sites.filter(({ asn }) => asn === first.asn && first.asn >= 1000).slice(0, count);
    const all = sites.length > 0 ? sites : [first];
    const issuer = random.pick(publicIssuers);
    const forged = new Map(all.map((site) => [site, internet.newKey(site.serverName, issuer)]));
    return {
      name: 'near-server',
      from,
      until,
      expected: undefined,
      agents: names(internet.agents),
      sites: new Set(all),
      forge: (_, site) => forged.get(site),
    };
  },

  'local-outage': (random, internet, from, until) => {
    const agents = random.chance(0.5)
      ? inCountry(internet, random.pick(severalAgents(internet, 2)))
      : random.pick(severalInOne(internet));
    return {
      name: 'local-outage',
      from,
      until,
      expected: 'local-outage',
      agents: names(agents),
      sites: undefined,
      fails: random.between(0.6, 1),
    };
  },

  'lying-agent': (random, internet, from, until) => {
    const sites = new Set(random.some(famous(internet), 20));
    return {
      name: 'lying-agent',
      from,
      until,
      expected: 'faulty-agent',
      agents: names([random.pick(internet.agents)]),
      sites,
      // Every time another key, or a middlebox with a root of its own.
      forge: random.chance(0.5)
        ? (_, { serverName }) => internet.newKey(serverName, `CN=made up ${random.below(1000)}`)
        : (_, { serverName }) => internet.newKey(serverName, 'CN=Filter of one house'),
    };
  },

  'failing-agent': (random, internet, from, until) => ({
    name: 'failing-agent',
    from,
    until,
    expected: 'faulty-agent',
    agents: names([random.pick(internet.agents)]),
    sites: undefined,
    fails: random.between(0.6, 1),
  }),

  clock: (random, internet, from, until) => ({
    name: 'clock',
    from,
    until,
    expected: 'faulty-agent',
    agents: names([random.pick(internet.agents)]),
    sites: undefined,
    clock: random.pick([-3_600_000, -120_000, 120_000, 86_400_000]),
  }),
};
