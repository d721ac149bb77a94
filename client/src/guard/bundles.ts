import type { Candidate } from '../candidates.ts';
import { fingerprint } from './tls-socket.ts';

/** Of all together: servers of all kinds fill it. */
const mostOctets = 8_388_608;
/** Half of how often a server fetches new vouchers. Milliseconds. */
const keptMs = 6 * 3_600_000;

interface Kept {
  readonly until: number;
  readonly octets: number;
  readonly candidates: readonly Candidate[];
}

/** Vouchers that servers' own files held, by server certificate: the next connection needs no round trip for them. */
export class Bundles {
  readonly #kept = new Map<string, Kept>();
  #octets = 0;

  get(leaf: Uint8Array, now: Date): readonly Candidate[] {
    const kept = this.#kept.get(fingerprint(leaf));
    return kept && now.getTime() < kept.until ? kept.candidates : [];
  }

  /** In place of what was there; the oldest make room. */
  keep(leaf: Uint8Array, candidates: readonly Candidate[], now: Date): void {
    const key = fingerprint(leaf);
    this.#drop(key);
    if (candidates.length === 0) return;
    const octets = candidates.reduce((sum, { voucher }) => sum + voucher.length, 0);
    this.#kept.set(key, { until: now.getTime() + keptMs, octets, candidates });
    this.#octets += octets;
    while (this.#octets > mostOctets) this.#drop(this.#kept.keys().next().value!);
  }

  #drop(key: string): void {
    this.#octets -= this.#kept.get(key)?.octets ?? 0;
    this.#kept.delete(key);
  }
}
