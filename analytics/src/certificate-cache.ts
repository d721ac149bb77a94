import { certificateFacts } from './certificate-facts.ts';
import { hex, sha256 } from './fields.ts';
import type { CertificateFacts } from './rows.ts';

/** Facts of the certificates met last: few certificates make up most chains. */
export class CertificateCache {
  readonly #facts = new Map<string, CertificateFacts>();
  readonly #capacity: number;

  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  /** Facts of `der`, from the last time where it was met before. */
  facts(der: Uint8Array): CertificateFacts {
    const fingerprint = hex(sha256(der));
    const known = this.#facts.get(fingerprint);
    // Taken out and put in again, so that the first of the map is the one not met for longest.
    if (known) this.#facts.delete(fingerprint);
    const facts = known ?? certificateFacts(der, fingerprint);
    this.#facts.set(fingerprint, facts);
    if (this.#facts.size > this.#capacity) this.#facts.delete(this.#facts.keys().next().value!);
    return facts;
  }
}
