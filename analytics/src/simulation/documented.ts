import type { Place } from '../detection/sighting.ts';
import { type Draw, famous, foreignIssuer, inCountry, names, severalAgents, severalInOne } from './event.ts';
import { type ShownKey, type Site, publicIssuers } from './internet.ts';

/** The same for one pair each time, in [0, 1). */
function pathOf(agent: string, address: string, salt: number): number {
  let hash = salt;
  for (const character of agent + address) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}

/** What is on record, and what else happens to those who watch. */
export const documented = {
  /** Triggered by SNI, some networks, 37 names, 7 to 24 % of the paths; one root of the state. */
  'kazakhstan-2019': (random, internet) => {
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
      expected: 'regional-interception',
      agents: names(agents),
      sites,
      forge: ({ agent }, site, control) =>
        !control && pathOf(agent, site.address, salt) < share ? forged.get(site) : undefined,
    };
  },

  /** One country, one wildcard certificate by a public CA. */
  'diginotar-2011': (random, internet) => {
    const agents = inCountry(internet, random.pick(severalAgents(internet, 2)));
    // Services of one operator, which has its own network.
    const operator = random.pick([100, 101, 102, 103, 104]);
    const own = famous(internet).filter(({ asn }) => asn === operator);
    const sites = new Set(random.some(own, 3 + random.below(6)));
    const wildcard = internet.newKey(
      '',
      foreignIssuer(random, own),
      [...sites].map(({ serverName }) => serverName),
    );
    return {
      expected: 'regional-interception',
      agents: names(agents),
      sites,
      forge: () => wildcard,
    };
  },

  /** One network, one site, an issuer nobody knows. */
  'syria-2011': (random, internet) => {
    const agents = random.pick(severalInOne(internet));
    const site = random.pick(famous(internet));
    const forged = internet.newKey(site.serverName, `CN=${site.serverName}`, [site.serverName]);
    return {
      expected: 'regional-interception',
      agents: names(agents),
      sites: new Set([site]),
      forge: () => forged,
    };
  },

  /** Next to the server: everyone sees the same, so that nobody can tell. */
  'near-server': (random, internet) => {
    const first = random.pick(internet.sites);
    const count = 1 + random.below(5);
    const sites = internet.sites.filter(({ asn }) => asn === first.asn && first.asn >= 1000).slice(0, count);
    const all = sites.length > 0 ? sites : [first];
    const issuer = random.pick(publicIssuers);
    const forged = new Map(all.map((site) => [site, internet.newKey(site.serverName, issuer)]));
    return {
      expected: undefined,
      agents: names(internet.agents),
      sites: new Set(all),
      forge: (_, site) => forged.get(site),
    };
  },

  'local-outage': (random, internet) => {
    const agents = random.chance(0.5)
      ? inCountry(internet, random.pick(severalAgents(internet, 2)))
      : random.pick(severalInOne(internet));
    return {
      expected: 'local-outage',
      agents: names(agents),
      sites: undefined,
      fails: random.between(0.6, 1),
    };
  },

  'lying-agent': (random, internet) => {
    const sites = new Set(random.some(famous(internet), 20));
    return {
      expected: 'faulty-agent',
      agents: names([random.pick(internet.agents)]),
      sites,
      // Every time another key, or a middlebox with a root of its own.
      forge: random.chance(0.5)
        ? (_, { serverName }) => internet.newKey(serverName, `CN=made up ${random.below(1000)}`)
        : (_, { serverName }) => internet.newKey(serverName, 'CN=Filter of one house'),
    };
  },

  'failing-agent': (random, internet) => ({
    expected: 'faulty-agent',
    agents: names([random.pick(internet.agents)]),
    sites: undefined,
    fails: random.between(0.6, 1),
  }),

  clock: (random, internet) => ({
    expected: 'faulty-agent',
    agents: names([random.pick(internet.agents)]),
    sites: undefined,
    clock: random.pick([-3_600_000, -120_000, 120_000, 86_400_000]),
  }),
} satisfies Record<string, Draw>;
