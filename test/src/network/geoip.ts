import { join } from 'node:path';
import { uint16, writeMmdb } from '../parts/mmdb-writer.ts';
import type { City } from './cities.ts';

/** Databases in which each city's loopback network is where the city is. */
export function writeGeoip(directory: string, cities: readonly City[]): { city: string; asn: string } {
  const [city, asn] = [join(directory, 'city.mmdb'), join(directory, 'asn.mmdb')];
  const prefix = ({ address }: City) => address.replace(/\.\d+$/, '.0/24');
  writeMmdb(
    city,
    cities.map((one) => ({
      prefix: prefix(one),
      record: {
        city: { names: { en: one.city } },
        country: { iso_code: one.country },
        location: { latitude: one.latitude, longitude: one.longitude, accuracy_radius: uint16(20) },
      },
    })),
    { databaseType: 'GeoLite2-City' },
  );
  writeMmdb(
    asn,
    cities.map((one) => ({ prefix: prefix(one), record: { autonomous_system_number: one.asn } })),
    { databaseType: 'GeoLite2-ASN' },
  );
  return { city, asn };
}
