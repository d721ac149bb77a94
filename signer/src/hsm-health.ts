/**
 * Whether the HSM signs. While it does not, no draw is given, so that coordinators go to another signer before they
 * have asked anybody; it is tried once a second at most, and used again as soon as it answers.
 */
export interface HsmHealthParts {
  /** @throws whatever the HSM has to say */
  readonly sign: (toBeSigned: Uint8Array) => Uint8Array;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds by a clock that nobody sets. */
  readonly uptime: () => number;
}

const tryEveryMs = 1_000;
/** No DER, so nothing that such a signature could ever be good for. */
const trial = Buffer.from('MECAI signer: is the HSM there?');

export class HsmHealth {
  readonly #parts: HsmHealthParts;
  /** Since 1970, and by `uptime`. */
  #silent: { readonly since: number; readonly triedAt: number } | undefined;

  constructor(parts: HsmHealthParts) {
    this.#parts = parts;
  }

  /** @throws as the HSM does */
  readonly sign = (toBeSigned: Uint8Array): Uint8Array => {
    const { sign, now, uptime } = this.#parts;
    try {
      const signature = sign(toBeSigned);
      this.#silent = undefined;
      return signature;
    } catch (error) {
      this.#silent = { since: this.#silent?.since ?? now(), triedAt: uptime() };
      throw error;
    }
  };

  /** Why nothing can be signed; what the HSM said is on record with the voucher that it did not sign. */
  get refusal(): string | undefined {
    if (this.#silent && this.#parts.uptime() - this.#silent.triedAt >= tryEveryMs) {
      try {
        this.sign(trial);
      } catch {
        // Told below.
      }
    }
    return this.#silent && `the HSM does not sign since ${new Date(this.#silent.since).toISOString()}`;
  }
}
