import type { Telemetry } from '@mecai/runtime';

/** What the coordinator counts and times; names as Prometheus shows them, without `mecai_`. */
export function coordinatorMeasures(telemetry: Telemetry) {
  const limited = telemetry.counter<'limit'>(
    'vrp.limited',
    'Requests and chains refused by a limit: of the requester, of the target, or global.',
  );
  // A rate needs a zero to begin at.
  for (const limit of ['requester', 'target', 'global']) limited({ limit }, 0);
  return {
    limited,
    decision: telemetry.duration<'status' | 'reason'>(
      'decision.duration',
      'One chain, from the request to its answer, by status and reason of the VRP.',
    ),
    /** Labels stay few: agents are in the registry, codes in a closed set. */
    verdict: telemetry.counter<'agent' | 'verdict' | 'code'>(
      'verdicts',
      'Verdicts of perspectives when the decision was made, by agent.',
    ),
    response: telemetry.counter<'status'>('vrp.responses', 'HTTP answers on /vrp by status.'),
  };
}

export type CoordinatorMeasures = ReturnType<typeof coordinatorMeasures>;
