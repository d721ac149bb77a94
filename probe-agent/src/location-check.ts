import { distanceKm } from '@mecai/addresses';
import { reasonOf } from '@mecai/runtime';
import { type AsnResponse, type CityResponse, open } from 'maxmind';
import type { AgentConfig } from './config.ts';
import { AgentError } from './error.ts';

export interface LocationCheck {
  readonly result: 'agrees' | 'contradicts' | 'unknown' | 'not-checked';
  readonly contradictions: readonly string[];
}

/**
 * What GeoIP databases say of a declared location. GeoIP errs: a contradiction is shown, and only refused where
 * the operator wants it so.
 *
 * @throws AgentError `bad-geoip-database`
 */
export async function checkLocation({
  location,
  geoip,
}: Pick<AgentConfig, 'location' | 'geoip'>): Promise<LocationCheck> {
  if (!geoip || (geoip.city === undefined && geoip.asn === undefined)) {
    return { result: 'not-checked', contradictions: [] };
  }
  const contradictions: string[] = [];
  let compared = false;
  if (geoip.city !== undefined) {
    const record = await lookUp<CityResponse>(geoip.city, geoip.publicAddress);
    const country = record?.country?.iso_code;
    if (country !== undefined) {
      compared = true;
      if (country !== location.country)
        contradictions.push(`country: declared ${location.country}, GeoIP ${country}`);
    }
    if (record?.location) {
      compared = true;
      const km = Math.round(distanceKm(location, record.location));
      const tolerance = geoip.toleranceKm + (record.location.accuracy_radius ?? 0);
      if (km > tolerance) contradictions.push(`place: GeoIP is ${km} km away, ${tolerance} km are tolerated`);
    }
  }
  if (geoip.asn !== undefined) {
    const record = await lookUp<AsnResponse>(geoip.asn, geoip.publicAddress);
    const asn = record?.autonomous_system_number;
    if (asn !== undefined) {
      compared = true;
      if (asn !== location.asn) contradictions.push(`network: declared AS${location.asn}, GeoIP AS${asn}`);
    }
  }
  return {
    result: contradictions.length > 0 ? 'contradicts' : compared ? 'agrees' : 'unknown',
    contradictions,
  };
}

async function lookUp<Response extends CityResponse | AsnResponse>(
  file: string,
  address: string,
): Promise<Response | null> {
  try {
    return (await open<Response>(file)).get(address);
  } catch (cause) {
    throw new AgentError('bad-geoip-database', `${file}: ${reasonOf(cause)}`, { cause });
  }
}
