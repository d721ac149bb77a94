import { type Certificate, type HandshakeScts, type LogKey, sctsOf, verifySct } from '@mecai/pki';
import type { Vouched } from './hold.ts';

export interface KnownLog {
  readonly key: LogKey;
  /** Several logs of one operator count once. */
  readonly operator: string;
}

/**
 * The SCTs that logs we know have signed, whether they are in the certificate, in the TLS extension or in the stapled
 * OCSP response (RFC 6962 section 3.3).
 *
 * @param issuer whose key the precertificate was logged with; undefined: nothing can be verified
 * @param sent what the perspectives saw in their handshakes; asked for only where logs are known
 * @param now milliseconds since 1970; what is said to have happened later counts for nothing
 */
export function verifiedScts(
  logs: ReadonlyMap<string, KnownLog>,
  certificate: Certificate,
  issuer: Certificate | undefined,
  sent: () => HandshakeScts,
  now: number,
): Vouched[] {
  if (logs.size === 0 || !issuer) return [];
  return sctsOf(certificate, sent()).flatMap((sct) => {
    const log = logs.get(Buffer.from(sct.logId).toString('hex'));
    const at = sct.timestamp.getTime();
    if (!log || at > now || !verifySct(sct, log.key, certificate, issuer)) return [];
    return [{ who: log.operator, at }];
  });
}
