import type { Candidate } from '../candidates.ts';
import { fingerprint } from './tls-socket.ts';

const most = 256;
/** Half of how often a server fetches new vouchers. Milliseconds. */
const keptMs = 6 * 3_600_000;

/** Vouchers that servers' own files held, by server certificate: the next connection needs no round trip for them. */
export class Bundles {
  readonly #kept = new Map<string, { readonly until: number; readonly candidates: readonly Candidate[] }>();

  get(leaf: Uint8Array, now: Date): readonly Candidate[] {
    const kept = this.#kept.get(fingerprint(leaf));
    return kept && now.getTime() < kept.until ? kept.candidates : [];
  }

  keep(leaf: Uint8Array, candidates: readonly Candidate[], now: Date): void {
    const key = fingerprint(leaf);
    this.#kept.delete(key);
    if (candidates.length === 0) return;
    if (this.#kept.size >= most) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(key, { until: now.getTime() + keptMs, candidates });
  }
}
