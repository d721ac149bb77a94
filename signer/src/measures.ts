import type { Telemetry } from '@mecai/runtime';

/** What the signer counts and times; names as Prometheus shows them, without `mecai_`. */
export function signerMeasures(telemetry: Telemetry) {
  return {
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
