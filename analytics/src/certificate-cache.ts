import { certificateFacts } from './certificate-facts.ts';
import { hex, sha256 } from './fields.ts';
import type { CertificateFacts } from './rows.ts';

/** A chain as sent, and what is known of its certificates. */
export interface Chain {
  readonly certificates: readonly CertificateFacts[];
  readonly fingerprints: readonly string[];
}

interface Sent {
  readonly ders: readonly Uint8Array[];
  readonly chain: Chain;
}

/** Facts of the certificates met last: few certificates make up most chains. */
export class CertificateCache {
  readonly #facts = new Map<string, CertificateFacts>();
  readonly #chains = new Map<number, Sent>();
  readonly #capacity: number;

  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  /** Facts of a chain: the same octets again cost a comparison, no hashes. */
  chain(ders: readonly Uint8Array[]): Chain {
    const [leaf] = ders;
    if (!leaf) return noChain;
    // The end of a certificate is its signature, which tells one from the other as long as nobody means harm.
    let key = ders.length;
    for (let i = Math.max(0, leaf.length - 6); i < leaf.length; i++) key = 256 * (key % 2 ** 44) + leaf[i]!;
    const known = this.#chains.get(key);
    if (known?.ders.every((der, i) => Buffer.compare(der, ders[i]!) === 0)) return known.chain;
    const certificates = ders.map((der) => this.facts(der));
    const chain = { certificates, fingerprints: certificates.map(({ fingerprint }) => fingerprint) };
    if (this.#chains.size >= this.#capacity) this.#chains.delete(this.#chains.keys().next().value!);
    // Copies, since what was sent is a view into a whole message.
    this.#chains.set(key, { ders: ders.map((der) => Uint8Array.from(der)), chain });
    return chain;
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

const noChain: Chain = { certificates: [], fingerprints: [] };
