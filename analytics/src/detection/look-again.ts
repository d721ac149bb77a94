import { randomBytes } from 'node:crypto';
import type { Logger } from '@mecai/runtime';
import { CampaignBook } from '../campaigns/book.ts';
import type { Store } from '../store.ts';
import type { FollowUp } from './follow-ups.ts';

/** At most one order in this time; what is contested for longer is asked for again. */
const pauseMs = 60_000;
/** Enough for those who see the difference and for others to hold against them. */
const perspectives = 20;

/** Orders the probes that the rules want as a campaign: each endpoint once by its name, and once without SNI. */
export function lookAgain({
  store: storeNow,
  now,
  log,
}: {
  store: () => Store | undefined;
  now: () => number;
  log: Logger;
}): (followUps: readonly FollowUp[]) => Promise<void> {
  const book = new CampaignBook({ now, newId: () => randomBytes(16).toString('hex') });
  let last = Number.NEGATIVE_INFINITY;
  return async (followUps) => {
    const store = storeNow();
    if (!store || now() < last + pauseMs) return;
    last = now();
    const endpoints = followUps.flatMap(({ endpoint, control }) => [endpoint, control]);
    const campaign = {
      name: 'Agents disagree',
      choice: { kind: 'endpoints', endpoints },
      perMinute: 600,
      perspectives,
      rounds: 1,
      everySeconds: 60,
    } as const;
    await book.order(store, campaign, 'rules').catch((error: unknown) => {
      last = Number.NEGATIVE_INFINITY;
      log.warn({ reason: error instanceof Error ? error.message : error }, 'no campaign ordered');
    });
  };
}
