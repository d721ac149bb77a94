import type { AgentConfig } from '../config.ts';

/** Where agents of the tests stand. */
export const oslo: AgentConfig['location'] = {
  city: 'Oslo',
  country: 'NO',
  latitude: 59.9,
  longitude: 10.7,
  rir: 'ripencc',
  asn: 64_496,
};
