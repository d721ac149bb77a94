import type { Place } from '../detection/sighting.ts';
import type { Random } from './random.ts';

/** What an endpoint shows to somebody. */
export interface ShownKey {
  readonly spki: string;
  readonly leaf: string;
  readonly issuer: string;
  readonly subject: string;
  readonly dnsNames: readonly string[];
}

export interface Site {
  readonly serverName: string;
  readonly address: string;
  readonly asn: number;
  /** Issuers that its operator uses. */
  readonly issuers: readonly string[];
  /** Keys by point of presence; a single one for single hosts. Several keys at one: any of them, each time. */
  readonly shown: Map<string, readonly ShownKey[]>;
  /** Not changed by attacks: seen without SNI. */
  readonly withoutSni: ShownKey;
  downUntil: number;
}

export interface Internet {
  readonly agents: readonly Place[];
  /** The first are the popular ones. */
  readonly sites: readonly Site[];
  newKey(serverName: string, issuer: string, dnsNames?: readonly string[]): ShownKey;
}

/** Countries with agents, their region, and how many agents in which networks; two share one now and then. */
const places: readonly (readonly [country: string, rir: string, networks: readonly number[]])[] = [
  ['DE', 'ripencc', [1, 2]],
  ['SE', 'ripencc', [1]],
  ['FR', 'ripencc', [1]],
  ['NL', 'ripencc', [1]],
  ['KZ', 'ripencc', [2, 1, 1]],
  ['IR', 'ripencc', [2, 1]],
  ['SY', 'ripencc', [2]],
  ['TR', 'ripencc', [1, 1]],
  ['US', 'arin', [1, 1, 1]],
  ['CA', 'arin', [1]],
  ['BR', 'lacnic', [1, 1]],
  ['CL', 'lacnic', [1]],
  ['MX', 'lacnic', [1]],
  ['IN', 'apnic', [2, 1]],
  ['SG', 'apnic', [1]],
  ['JP', 'apnic', [1]],
  ['AU', 'apnic', [1]],
  ['VN', 'apnic', [2]],
  ['ZA', 'afrinic', [1]],
  ['KE', 'afrinic', [1]],
  ['EG', 'afrinic', [2]],
];

export const publicIssuers = Array.from(
  { length: 9 },
  (_, i) => `O=Public CA ${i + 1}, CN=Issuing CA ${i + 1}`,
);
const popular = 200;

export function makeInternet(random: Random, size: number): Internet {
  let serial = 0;
  const newKey = (serverName: string, issuer: string, dnsNames: readonly string[] = [serverName]) => ({
    spki: `k${serial}`,
    leaf: `c${serial++}`,
    issuer,
    subject: `CN=${dnsNames[0]}`,
    dnsNames,
  });
  let asn = 65_000;
  const agents = places.flatMap(([country, rir, networks]) =>
    networks.flatMap((count) => {
      asn++;
      return Array.from({ length: count }, (_, i) => ({
        agent: `${country.toLowerCase()}-${asn}-${i}`,
        country,
        rir,
        asn,
      }));
    }),
  );
  const cdns = Array.from({ length: 5 }, (_, i) => ({
    asn: 100 + i,
    issuers: random.some(publicIssuers, 2 + random.below(2)),
    /** Answers each region from a place of its own. */
    regional: random.chance(0.6),
  }));
  const hosters = Array.from({ length: 60 }, (_, i) => ({ asn: 1000 + i }));
  const regions = ['afrinic', 'apnic', 'arin', 'lacnic', 'ripencc'];
  const sites = Array.from({ length: size }, (_, i): Site => {
    const serverName = `www.site${i}.example`;
    const cdn = random.chance(i < popular ? 0.7 : 0.4) ? random.pick(cdns) : undefined;
    const issuers = cdn ? cdn.issuers : [random.pick(publicIssuers)];
    const one = () => newKey(serverName, random.pick(issuers), [serverName, `site${i}.example`]);
    const shown = new Map<string, readonly ShownKey[]>();
    if (cdn?.regional) {
      // Most have one certificate everywhere, some another in one region, some several anywhere.
      const common = random.chance(0.05) ? [one(), one()] : [one()];
      for (const rir of regions) shown.set(rir, common);
      if (random.chance(0.05)) shown.set(random.pick(regions), [one()]);
    } else shown.set('', random.chance(0.02) ? [one(), one()] : [one()]);
    return {
      serverName,
      address: `192.0.${i >> 8}.${i & 255}`,
      asn: cdn ? cdn.asn : random.pick(hosters).asn,
      issuers,
      shown,
      withoutSni: newKey('', random.pick(issuers), [`default${cdn?.asn ?? i}.example`]),
      downUntil: 0,
    };
  });
  return { agents, sites, newKey };
}

/** The certificate that the site itself shows to someone there. */
export function genuineKey(site: Site, rir: string, random: Random): ShownKey {
  const keys = site.shown.get(rir) ?? site.shown.get('')!;
  return keys.length === 1 ? keys[0]! : random.pick(keys);
}
