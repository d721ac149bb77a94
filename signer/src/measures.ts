import type { Telemetry } from '@mecai/runtime';

/** What the signer counts and times; names as Prometheus shows them, without `mecai_`. */
export function signerMeasures(telemetry: Telemetry) {
  const failed = telemetry.counter<never>(
    'signer.failures',
    'Requests that HSM, audit log or lint let down.',
  );
  // Prometheus sees the first failure only if there was a zero before it.
  failed({}, 0);
  return {
    failed: () => failed({}),
    /** Draws, and requests for vouchers, by what came of them: `ok`, or the refusal's name. */
    request: telemetry.duration<'step' | 'outcome'>(
      'signer.request.duration',
      'From a request read to its answer, by step (draw, issue) and outcome.',
    ),
    hsm: telemetry.duration<never>('hsm.sign.duration', 'One signature in the HSM.'),
    audit: telemetry.duration<never>(
      'audit.append.duration',
      'From a record handed to the audit log until it is on the disk.',
    ),
  };
}

export type SignerMeasures = ReturnType<typeof signerMeasures>;
