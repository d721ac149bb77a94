import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentConfig } from './config.ts';
import { AgentError } from './error.ts';
import { checkLocation } from './location-check.ts';
import { mmdb } from './testing/mmdb.ts';
import { oslo } from './testing/oslo.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-geoip-'));
const city = join(directory, 'city.mmdb');
const asn = join(directory, 'asn.mmdb');
beforeAll(() => {
  const place = {
    country: { iso_code: 'NO' },
    location: { latitude: 59.9, longitude: 10.7, accuracy_radius: 20 },
  };
  writeFileSync(city, mmdb('GeoLite2-City', '198.51.100.0/24', place));
  writeFileSync(asn, mmdb('GeoLite2-ASN', '198.51.100.0/24', { autonomous_system_number: 64_496 }));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type GeoIp = NonNullable<AgentConfig['geoip']>;
const check = (location: Partial<AgentConfig['location']>, geoip?: Partial<GeoIp>) =>
  checkLocation({
    location: { ...oslo, ...location },
    geoip: geoip && {
      publicAddress: '198.51.100.7',
      toleranceKm: 300,
      onContradiction: 'warn',
      city,
      asn,
      ...geoip,
    },
  });

describe('what GeoIP says of the declared location', () => {
  it('agrees', async () => {
    expect(await check({}, {})).toEqual({ result: 'agrees', contradictions: [] });
  });

  it('is not asked for without databases', async () => {
    expect((await check({})).result).toBe('not-checked');
    expect((await check({}, { city: undefined, asn: undefined })).result).toBe('not-checked');
  });

  it('is unknown for an address that is not in the databases', async () => {
    expect(await check({}, { publicAddress: '192.0.2.1' })).toEqual({
      result: 'unknown',
      contradictions: [],
    });
  });

  it.each([
    ['country', { country: 'SE' }, 'country: declared SE, GeoIP NO'],
    ['network', { asn: 64_500 }, 'network: declared AS64500, GeoIP AS64496'],
    ['place', { latitude: 41.9, longitude: 12.5 }, 'place: GeoIP is 2008 km away, 320 km are tolerated'],
  ])('contradicts the %s', async (_, declared, words) => {
    const { result, contradictions } = await check(declared, {});
    expect(result).toBe('contradicts');
    expect(contradictions).toHaveLength(1);
    expect(contradictions[0]!.replace(/20\d\d km/, '2008 km')).toBe(words);
  });

  it('tolerates as much as is configured, and the radius of the database', async () => {
    const bergen = { latitude: 60.4, longitude: 5.3 };
    expect((await check(bergen, {})).result).toBe('agrees');
    expect((await check(bergen, { toleranceKm: 200 })).result).toBe('contradicts');
  });

  it('needs a readable database', async () => {
    const garbage = join(directory, 'garbage');
    writeFileSync(garbage, 'no database');
    for (const file of [garbage, join(directory, 'absent')]) {
      const failed = check({}, { city: file });
      await expect(failed).rejects.toBeInstanceOf(AgentError);
      await expect(failed).rejects.toMatchObject({ code: 'bad-geoip-database' });
    }
  });
});
