import type { ObservationEvent, RecordEvent, StoredEvent } from './rows.ts';

/** An event that may be stored already. */
export interface Candidate<Event extends StoredEvent = StoredEvent> {
  readonly event: Event;
  /** Handed out before: it may be stored already, whatever its times say. */
  readonly redelivered: boolean;
}

export const isObservation = (candidate: Candidate): candidate is Candidate<ObservationEvent> =>
  candidate.event.table === 'observations';

export const isRecord = (candidate: Candidate): candidate is Candidate<RecordEvent> =>
  !isObservation(candidate);
