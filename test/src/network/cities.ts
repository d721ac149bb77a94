import type { Rir } from '@mecai/corroboration';

export interface City {
  /** Name of the agent there. */
  readonly name: string;
  readonly city: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly rir: Rir;
  /** From the range for documentation (RFC 5398). */
  readonly asn: number;
  /** Loopback address the agent connects from. */
  readonly address: string;
}

const place = (
  index: number,
  name: string,
  city: string,
  country: string,
  latitude: number,
  longitude: number,
  rir: Rir,
): City => ({
  name,
  city,
  country,
  latitude,
  longitude,
  rir,
  asn: 64496 + index,
  address: `127.10.${index}.1`,
});

/** Six perspectives in three RIR regions, two in each. */
export const sixCities: readonly City[] = [
  place(1, 'frankfurt', 'Frankfurt', 'DE', 50.11, 8.68, 'ripencc'),
  place(2, 'stockholm', 'Stockholm', 'SE', 59.33, 18.07, 'ripencc'),
  place(3, 'ashburn', 'Ashburn', 'US', 39.04, -77.49, 'arin'),
  place(4, 'montreal', 'Montréal', 'CA', 45.5, -73.57, 'arin'),
  place(5, 'singapore', 'Singapore', 'SG', 1.35, 103.82, 'apnic'),
  place(6, 'sydney', 'Sydney', 'AU', -33.87, 151.21, 'apnic'),
];

/** Two more, in the regions that are left. */
export const eightCities: readonly City[] = [
  ...sixCities,
  place(7, 'johannesburg', 'Johannesburg', 'ZA', -26.2, 28.05, 'afrinic'),
  place(8, 'sao-paulo', 'São Paulo', 'BR', -23.55, -46.63, 'lacnic'),
];
