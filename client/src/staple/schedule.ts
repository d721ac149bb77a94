/** When a voucher is asked for again. Pure; times in milliseconds since 1970, `random` in [0, 1). */
import type { ChainResult } from '@mecai/voucher';

/** What became of one request to one VA. */
export type Outcome =
  | { readonly kind: 'issued'; readonly notAfter: number }
  | (Pick<ChainResult, 'status' | 'reason' | 'retryAfter'> & { readonly kind: 'not-issued' })
  /** No answer, or one that is none, or a voucher that does not hold. */
  | { readonly kind: 'failed' };

export interface Rhythm {
  readonly everySeconds: number;
  readonly jitter: number;
}

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const longest = day;

/** What a VA refuses for good: the answer changes when the certificate, the CA or the VA does. */
const lasting: ReadonlySet<ChainResult['reason']> = new Set([
  'own-ca',
  'distrusted',
  'revoked',
  'untrusted',
  'forbidden-target',
  'malformed',
]);

/**
 * @param failures in a row, this one counted; 0 if it was none
 */
export function nextRequest(
  outcome: Outcome,
  failures: number,
  now: number,
  { everySeconds, jitter }: Rhythm,
  random: () => number,
): number {
  if (outcome.kind === 'issued') {
    // A voucher of a short life is renewed at half of it.
    const interval = Math.min(everySeconds * 1_000, Math.max(0, outcome.notAfter - now) / 2);
    return now + Math.max(minute, interval * (1 - jitter * random()));
  }
  if (outcome.kind === 'not-issued') {
    const { status, reason, retryAfter } = outcome;
    // Asked for all at once, a VA spreads its requesters; so do we, never earlier than it says.
    if (retryAfter !== undefined) return now + waited(retryAfter * 1_000, 1 + 0.1 * random());
    if (status === 'on-hold') return now + waited(hour, 1 + 0.1 * random());
    if (status === 'refused' && lasting.has(reason)) return now + waited(6 * hour, 1 + 0.1 * random());
  }
  // 60 s, doubled with each failure up to an hour, each time half of it at random.
  return now + waited(Math.min(hour, minute * 2 ** Math.min(failures - 1, 10)), 0.5 + 0.5 * random());
}

const waited = (milliseconds: number, factor: number): number =>
  Math.min(longest, Math.max(1_000, milliseconds) * factor);

/**
 * Whether the VA no longer stands behind what it said before: the voucher at hand is withdrawn at once. An outage,
 * a mismatch (our server may be about to change) or a hold leaves it until it expires.
 */
export const isWithdrawn = (outcome: Outcome): boolean =>
  outcome.kind === 'not-issued' &&
  outcome.status === 'refused' &&
  (outcome.reason === 'distrusted' || outcome.reason === 'revoked' || outcome.reason === 'untrusted');
