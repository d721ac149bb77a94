import { rirs } from '@mecai/addresses';
import type { Perspective } from '@mecai/corroboration';
import { PlacementError } from './error.ts';
import { seeded } from './random.ts';
import type { SyntheticInternet } from './synthetic.ts';

/** A place where a perspective stands or could stand. */
export interface Site extends Perspective {
  readonly city: string;
}

/**
 * `{"sites": [{"name", "city", "country", "latitude", "longitude", "rir", "asn"}]}`; the `agents` of a registry file
 * will do as well, their keys are not looked at.
 *
 * @throws PlacementError `bad-sites`, naming the entry
 */
export function parseSites(text: string): Site[] {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (cause) {
    throw new PlacementError('bad-sites', 'sites: not JSON', { cause });
  }
  const { sites, agents } = (root ?? {}) as { sites?: unknown; agents?: unknown };
  const list = sites ?? agents;
  if (!Array.isArray(list) || list.length === 0)
    throw new PlacementError('bad-sites', 'sites: a list is expected');
  const names = new Set<string>();
  return list.map((entry: unknown, index) => {
    const bad = (what: string) => new PlacementError('bad-sites', `sites[${index}].${what}`);
    const site = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
    const text = (member: string, pattern: RegExp) => {
      const value = site[member];
      if (typeof value !== 'string' || !pattern.test(value))
        throw bad(`${member}: ${String(pattern)} is expected`);
      return value;
    };
    const number = (member: string, min: number, max: number) => {
      const value = site[member];
      if (typeof value !== 'number' || !(value >= min && value <= max)) {
        throw bad(`${member}: a number from ${min} to ${max}`);
      }
      return value;
    };
    const name = text('name', /^[a-z0-9-]{1,64}$/);
    if (names.has(name)) throw bad(`name: ${name} twice`);
    names.add(name);
    const rir = rirs.find((one) => one === site['rir']);
    if (!rir) throw bad(`rir: one of ${rirs.join(', ')}`);
    const asn = number('asn', 1, 0xffff_ffff);
    if (!Number.isInteger(asn)) throw bad('asn: an integer');
    return {
      name,
      keyId: name,
      city: text('city', /^.{1,64}$/u),
      country: text('country', /^[A-Z]{2}$/),
      latitude: number('latitude', -90, 90),
      longitude: number('longitude', -180, 180),
      rir,
      asn,
    };
  });
}

/** City, country, latitude, longitude, RIR region: where clouds have data centres. */
const places = [
  ['Ashburn', 'US', 39.04, -77.49, 'arin'],
  ['Dallas', 'US', 32.78, -96.8, 'arin'],
  ['San Jose', 'US', 37.34, -121.89, 'arin'],
  ['Toronto', 'CA', 43.65, -79.38, 'arin'],
  ['Seattle', 'US', 47.61, -122.33, 'arin'],
  ['Frankfurt', 'DE', 50.11, 8.68, 'ripencc'],
  ['London', 'GB', 51.51, -0.13, 'ripencc'],
  ['Stockholm', 'SE', 59.33, 18.07, 'ripencc'],
  ['Madrid', 'ES', 40.42, -3.7, 'ripencc'],
  ['Warsaw', 'PL', 52.23, 21.01, 'ripencc'],
  ['Dubai', 'AE', 25.2, 55.27, 'ripencc'],
  ['Singapore', 'SG', 1.35, 103.82, 'apnic'],
  ['Tokyo', 'JP', 35.68, 139.69, 'apnic'],
  ['Mumbai', 'IN', 19.08, 72.88, 'apnic'],
  ['Sydney', 'AU', -33.87, 151.21, 'apnic'],
  ['Seoul', 'KR', 37.57, 126.98, 'apnic'],
  ['Sao Paulo', 'BR', -23.55, -46.63, 'lacnic'],
  ['Santiago', 'CL', -33.45, -70.67, 'lacnic'],
  ['Bogota', 'CO', 4.71, -74.07, 'lacnic'],
  ['Buenos Aires', 'AR', -34.6, -58.38, 'lacnic'],
  ['Johannesburg', 'ZA', -26.2, 28.05, 'afrinic'],
  ['Nairobi', 'KE', -1.29, 36.82, 'afrinic'],
  ['Lagos', 'NG', 6.52, 3.38, 'afrinic'],
  ['Cairo', 'EG', 30.04, 31.24, 'afrinic'],
] as const;

/** Every place once, each in a transit AS of its region that no other place has. */
export function syntheticSites({ regions, transit }: SyntheticInternet, seed: number): Site[] {
  const random = seeded(seed);
  const providers = new Set(transit.map(([provider]) => provider));
  const free = new Map(rirs.map((rir) => [rir, [...providers].filter((asn) => regions.get(asn) === rir)]));
  return places.flatMap(([city, country, latitude, longitude, rir]) => {
    const choices = free.get(rir)!;
    const [asn] = choices.splice(random.below(choices.length), 1);
    if (asn === undefined) return [];
    const name = city.toLowerCase().replace(' ', '-');
    return [{ name, keyId: name, city, country, latitude, longitude, rir, asn }];
  });
}
