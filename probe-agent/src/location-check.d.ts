import type { AgentConfig } from './config.ts';
export interface LocationCheck {
  readonly result: 'agrees' | 'contradicts' | 'unknown' | 'not-checked';
  readonly contradictions: readonly string[];
}
/**
 * What GeoIP databases say of a declared location. GeoIP errs: a contradiction is shown, and only refused where
 * the operator wants it so.
 *
 * @throws AgentError `bad-geoip-database`
 */
export declare function checkLocation({ location, geoip }: AgentConfig): Promise<LocationCheck>;
