import type { Place } from '../detection/sighting.ts';
import { type Draw, famous, foreignIssuer, inCountry, names, severalAgents } from './event.ts';
import type { Internet, ShownKey, Site } from './internet.ts';
import type { Random } from './random.ts';

const minute = 60_000;

const somewhere = (random: Random, internet: Internet): Place[] =>
  inCountry(internet, random.pick(severalAgents(internet, 2)));

/** A certificate for each of these names. */
const forgedFor = (internet: Internet, sites: readonly Site[], issuerOf: (site: Site, n: number) => string) =>
  new Map<Site, ShownKey>(
    sites.map((site, n) => [site, internet.newKey(site.serverName, issuerOf(site, n))]),
  );

/** What an attack in a country shows there for these sites instead of their own certificates. */
const shows = (random: Random, internet: Internet, theirs: ReadonlyMap<Site, ShownKey>) => ({
  agents: names(somewhere(random, internet)),
  sites: new Set(theirs.keys()),
  forge: (_: Place, site: Site, control: boolean) => (control ? undefined : theirs.get(site)),
});

/** Sites of one network of servers, which has an agreement with its customers about nothing else. */
const ofOneNetwork = (random: Random, internet: Internet, most: number): Site[] => {
  const { asn } = random.pick(famous(internet).filter((site) => site.asn < 1000));
  return random.some(
    famous(internet).filter((site) => site.asn === asn),
    most,
  );
};

/** Attackers who have read the rules. */
export const evasions = {
  /** One name more every half minute, so that there is no onset. */
  'slow-onset': (random, internet, from) => {
    const sites = random.some(famous(internet), 12);
    const forged = forgedFor(internet, sites, () => 'CN=State Root');
    return {
      expected: 'regional-interception',
      ...shows(random, internet, forged),
      forge: (_, site, control, at) =>
        !control && at >= from + sites.indexOf(site) * 30_000 ? forged.get(site) : undefined,
    };
  },

  /** Each name by an issuer of its own, with a key of its own. */
  'issuer-per-name': (random, internet) => {
    const sites = random.some(famous(internet), 8);
    const forged = forgedFor(internet, sites, (_, n) => `CN=Issuer ${n}`);
    return {
      expected: 'regional-interception',
      agents: names(somewhere(random, internet)),
      sites: new Set(sites),
      forge: (_, site) => forged.get(site),
    };
  },

  /** One host; subject copied; by a public CA that the host does not use; only where SNI asks for it. */
  'one-name-public-ca': (random, internet) => {
    const site = random.pick(famous(internet));
    const forged = internet.newKey(site.serverName, foreignIssuer(random, [site]), [
      site.serverName,
      site.serverName.replace('www.', ''),
    ]);
    return {
      expected: 'regional-interception',
      agents: names(somewhere(random, internet)),
      sites: new Set([site]),
      forge: (_, __, control) => (control ? undefined : forged),
    };
  },

  /** Two minutes at night, and again every ten. */
  'two-minutes-at-night': (random, internet, from) => {
    const sites = random.some(famous(internet), 12);
    const forged = forgedFor(internet, sites, () => 'CN=Night Root');
    return {
      expected: 'regional-interception',
      ...shows(random, internet, forged),
      forge: (_, site, control, at) =>
        !control && (at - from) % (10 * minute) < 2 * minute ? forged.get(site) : undefined,
    };
  },

  /** While the sites change their certificates themselves. */
  'during-rotation': (random, internet) => {
    const sites = random.some(famous(internet), 8);
    const forged = forgedFor(internet, sites, () => 'CN=State Root');
    return {
      expected: 'regional-interception',
      ...shows(random, internet, forged),
      rotates: true,
    };
  },

  /** In a country whose agents have not looked before, so that nothing there ever was otherwise. */
  'where-agents-join': (random, internet) => {
    const sites = random.some(famous(internet), 12);
    const forged = forgedFor(internet, sites, () => 'CN=State Root');
    return {
      expected: 'regional-interception',
      ...shows(random, internet, forged),
      joins: true,
    };
  },
} satisfies Record<string, Draw>;

/** What looks like an attack, and is none. */
export const lookAlikes = {
  /** A network of servers that always had certificates by another public CA in that country. */
  'cdn-differs-by-country': (random, internet) => {
    const sites = ofOneNetwork(random, internet, 20);
    const issuer = foreignIssuer(random, sites);
    const theirs = forgedFor(internet, sites, () => issuer);
    return {
      from: 0,
      until: Number.POSITIVE_INFINITY,
      expected: undefined,
      ...shows(random, internet, theirs),
    };
  },

  /** The same, when it opens there: name after name moves to its servers in the country. */
  'cdn-opens-in-country': (random, internet, from) => {
    const sites = ofOneNetwork(random, internet, 20);
    const issuer = foreignIssuer(random, sites);
    const theirs = forgedFor(internet, sites, () => issuer);
    return {
      expected: undefined,
      ...shows(random, internet, theirs),
      forge: (_, site, control, at) =>
        !control && at >= from + sites.indexOf(site) * 20_000 ? theirs.get(site) : undefined,
    };
  },

  /** Within the country a site of the state shows a certificate by the state's own CA, and always did. */
  'split-horizon': (random, internet) => {
    const site = random.pick(famous(internet));
    const own = internet.newKey(site.serverName, 'CN=National Root');
    return {
      from: 0,
      until: Number.POSITIVE_INFINITY,
      expected: undefined,
      agents: names(somewhere(random, internet)),
      sites: new Set([site]),
      forge: () => own,
    };
  },

  /** The same, from one day on. */
  'split-horizon-begins': (random, internet) => {
    const site = random.pick(famous(internet));
    const own = internet.newKey(site.serverName, 'CN=National Root');
    return {
      expected: undefined,
      agents: names(somewhere(random, internet)),
      sites: new Set([site]),
      forge: () => own,
    };
  },

  /** One agent of several in a country is moved behind a proxy that opens every connection. */
  'corporate-proxy': (random, internet) => {
    const issuer = `CN=Proxy of Company ${random.below(1000)}`;
    const made = new Map<Site, ShownKey>();
    return {
      expected: 'faulty-agent',
      agents: names([random.pick(somewhere(random, internet))]),
      sites: undefined,
      forge: (_, site) => {
        const known = made.get(site) ?? internet.newKey(site.serverName, issuer);
        made.set(site, known);
        return known;
      },
    };
  },
} satisfies Record<string, Draw>;
