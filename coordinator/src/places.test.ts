import type { AgentStatus } from '@mecai/proto';
import { expect, it } from 'vitest';
import { Places } from './places.ts';
import { sixAgents, testRegistry } from './testing/agents.ts';

const status = (...contradictions: string[]): AgentStatus => ({
  sentAt: 0,
  probesInFlight: 0,
  unconfirmed: 0,
  locationCheck: contradictions.length > 0 ? 'contradicts' : 'agrees',
  contradictions,
  roundTrip: undefined,
  stopping: false,
});
const [oslo, rome] = sixAgents.map(({ name }) => name) as [string, string];
const geoip = 'country: declared NO, GeoIP SE';
const noPlaces = () =>
  new Places(
    () => testRegistry(),
    () => 0,
  );

it('what an agent says of its GeoIP stands beside its own name, until it says otherwise', () => {
  const places = noPlaces();
  places.hear(oslo, status(geoip));
  expect(places.contradictions(oslo)).toEqual([geoip]);
  expect(places.contradictions(rome)).toEqual([]);
  // GeoIP errs: it counts for nothing else.
  expect(places.tooNear(oslo)).toBe(0);
  places.hear(oslo, status());
  expect(places.contradictions(oslo)).toEqual([]);
});

it('one that is not in the registry is not listened to', () => {
  const places = noPlaces();
  places.hear('atlantis', status(geoip));
  expect(places.contradictions('atlantis')).toEqual([]);
});

it('ten of each, cut at two hundred characters, are kept', () => {
  const places = noPlaces();
  places.hear(oslo, status(...Array.from({ length: 11 }, (_, i) => `${i} ${'x'.repeat(300)}`)));
  expect(places.contradictions(oslo)).toEqual(
    Array.from({ length: 10 }, (_, i) => `${i} ${'x'.repeat(300)}`.slice(0, 200)),
  );
});
