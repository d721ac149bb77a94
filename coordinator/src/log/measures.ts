import type { Telemetry } from '@mecai/runtime';
import { secondsSince } from '../seconds-since.ts';
import type { Ages, StateCounts } from './cases.ts';
import { certificateStates } from './hold.ts';

/** What of the certificate log is counted, as of its last sweep. */
export interface LogFigures {
  readonly counts: StateCounts | undefined;
  readonly ages: Ages | undefined;
  /** Endpoints whose last request is not written yet. */
  readonly lastSeenPending: number;
}

/** @param now milliseconds since 1970 */
export function logMeasures(telemetry: Telemetry, figures: () => LogFigures, now: () => number): void {
  telemetry.gauge<'state'>('certificates', 'Certificates in the log by state, as of the last sweep.', () => {
    const { counts } = figures();
    return counts ? certificateStates.map((state) => [counts[state], { state }] as const) : [];
  });
  telemetry.gauge<'state'>(
    'certificates.age.seconds',
    'Since the first request of the held certificate whose hold ends next, and since the oldest open objection.',
    () => {
      const { ages } = figures();
      const waiting = ['held', 'objected'] as const;
      return ages ? waiting.map((state) => [secondsSince(ages[state], now()), { state }] as const) : [];
    },
  );
  telemetry.gauge('certificates.hold.overdue.seconds', 'Since the end of a hold that still stands.', () => {
    const { ages } = figures();
    return ages && secondsSince(ages.holdEnds, now());
  });
  telemetry.gauge(
    'certificates.last.seen.pending',
    'Endpoints whose last request is not written yet.',
    () => figures().lastSeenPending,
  );
}
