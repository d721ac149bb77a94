/** The history of a certificate: rows are only ever added. */
import type { Statements } from '@mecai/database';
import { insertRows } from './rows.ts';

export type EventKind =
  /** The request, and what follows from it. */
  | 'first-sight'
  /** A renewal or a waiver: the hold ends earlier. */
  | 'waived'
  /** Somebody with a shorter hold asked. */
  | 'hold-shortened'
  | 'hold-ended'
  /** By the domain's owner, by the operator, or with another certificate of the same key. */
  | 'objected'
  /** By the operator. */
  | 'cleared'
  | 'expired'
  /** The holder of its key has declared a successor. */
  | 'successor-declared';

export interface Event {
  readonly kind: EventKind;
  /** JSON. */
  readonly detail: object;
}

/** @param before how many there are: the row of the certificate counts them */
export async function insertEvents(
  statements: Statements,
  sha256: Uint8Array,
  before: number,
  at: number,
  events: readonly Event[],
): Promise<void> {
  await insertRows(
    statements,
    'insert into certificate_event (sha256, number, at, kind, detail) values',
    events.map(({ kind, detail }, i) => [sha256, before + i + 1, at, kind, JSON.stringify(detail)]),
  );
}
