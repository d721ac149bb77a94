import { type LogKey, type Certificate, PkiError, embeddedScts, verifySct } from '@mecai/pki';
import type { Vouched } from './hold.ts';

export interface KnownLog {
  readonly key: LogKey;
  /** Several logs of one operator count once. */
  readonly operator: string;
}

/**
 * The SCTs in a certificate that logs we know have signed.
 *
 * @param issuer whose key the precertificate was logged with; undefined: nothing can be verified
 * @param now milliseconds since 1970; what is said to have happened later counts for nothing
 */
export function verifiedScts(
  logs: ReadonlyMap<string, KnownLog>,
  certificate: Certificate,
  issuer: Certificate | undefined,
  now: number,
): Vouched[] {
  if (logs.size === 0 || !issuer) return [];
  try {
    return embeddedScts(certificate).flatMap((sct) => {
      const log = logs.get(Buffer.from(sct.logId).toString('hex'));
      const at = sct.timestamp.getTime();
      if (!log || at > now || !verifySct(sct, log.key, certificate, issuer)) return [];
      return [{ who: log.operator, at }];
    });
  } catch (error) {
    // A malformed list waives nothing.
    if (error instanceof PkiError) return [];
    throw error;
  }
}
