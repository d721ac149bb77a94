/** Why a certificate, a path or a trust context was refused: for operators and requesters, not exceptions. */

export type FaultCode =
  | 'malformed'
  | 'profile'
  | 'critical-extension'
  | 'weak-key'
  | 'weak-signature'
  | 'not-yet-valid'
  | 'expired'
  | 'not-a-ca'
  | 'key-usage'
  | 'extended-key-usage'
  | 'path-length'
  | 'name-constraints'
  | 'policy'
  | 'name-mismatch'
  | 'no-issuer'
  | 'bad-signature'
  | 'budget'
  /** A constraint of the trust context on its anchor. */
  | 'anchor-constraint'
  /** The operator's distrust list. */
  | 'distrusted';

export interface Fault {
  readonly code: FaultCode;
  /** Where the rule stands, such as `RFC 5280 4.2.1.9`. */
  readonly rule: string;
  readonly detail: string;
}

export const fault = (code: FaultCode, rule: string, detail: string): Fault => ({ code, rule, detail });
