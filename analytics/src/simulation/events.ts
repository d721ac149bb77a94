import { evasions, lookAlikes } from './adversarial.ts';
import { documented } from './documented.ts';
import type { Draw } from './event.ts';

export const draws = { ...documented, ...evasions, ...lookAlikes } satisfies Record<string, Draw>;

export type EventName = keyof typeof draws;

/** What happens in a run: each so often. */
export type Family = Readonly<Partial<Record<EventName, number>>>;

/** The attacks on record, what cannot be seen, and what happens to those who watch. */
export const onRecord: Family = {
  'kazakhstan-2019': 3,
  'diginotar-2011': 3,
  'syria-2011': 3,
  'near-server': 2,
  'local-outage': 1,
  'lying-agent': 2,
  'failing-agent': 1,
  clock: 1,
};

/** Attackers who know the rules, and what only looks like an attack. */
export const adversarial: Family = {
  'slow-onset': 1,
  'issuer-per-name': 1,
  'one-name-public-ca': 1,
  'two-minutes-at-night': 1,
  'during-rotation': 1,
  'where-agents-join': 1,
  'cdn-differs-by-country': 1,
  'cdn-opens-in-country': 1,
  'split-horizon': 1,
  'split-horizon-begins': 1,
  'corporate-proxy': 1,
};

/** Nothing but what always happens. */
export const nothing: Family = {};
