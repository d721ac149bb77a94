/** The signers of this voucher authority, and who of them is asked. */
import { status } from '@grpc/grpc-js';
import type { QuorumPolicy, Registry } from '@mecai/corroboration';
import { CoordinatorError } from './error.ts';
import type { Revocation } from './revocation.ts';
import type { SignerClient } from './signer-client.ts';

/** A signer that has been reached at least once. */
export interface KnownSigner {
  /** SPIFFE ID. */
  readonly id: string;
  readonly client: Pick<SignerClient, 'draw' | 'issue'>;
  readonly revocation: Pick<Revocation, 'bring'>;
  readonly registry: Registry;
  readonly policy: QuorumPolicy;
}

export type SignerOrNot = Omit<KnownSigner, 'policy'> & {
  readonly client: Pick<SignerClient, 'directory'>;
  readonly there: boolean;
  readonly policy: QuorumPolicy | undefined;
};

export class Signers {
  readonly #all: readonly SignerOrNot[];
  #turn = 0;

  constructor(all: readonly SignerOrNot[]) {
    this.#all = all;
  }

  /**
   * Those that answered last take turns; without any, whoever was there before is tried.
   *
   * @throws CoordinatorError `signer-unavailable`
   */
  next(): KnownSigner {
    const known = this.#all.filter(isKnown);
    const there = known.filter((one) => one.there);
    const candidates = there.length > 0 ? there : known;
    if (candidates.length === 0) {
      throw new CoordinatorError('signer-unavailable', 'the signer has not been reached yet');
    }
    return candidates[this.#turn++ % candidates.length]!;
  }

  /** One that is there and not among these. */
  another(tried: ReadonlySet<KnownSigner>): KnownSigner | undefined {
    return this.#all.filter(isKnown).find((one) => one.there && !tried.has(one));
  }

  /**
   * A version of the perspective directory, 0 for the latest, of the first signer that has it.
   *
   * @throws as SignerClient.directory does
   */
  async directory(version: number): Promise<Uint8Array> {
    let failure: unknown;
    for (const { client } of this.#all.toSorted((a, b) => Number(b.there) - Number(a.there))) {
      try {
        return await client.directory(version);
      } catch (error) {
        // That there is no such version tells more than that one cannot be reached.
        if (failure === undefined || Object(error).code === status.NOT_FOUND) failure = error;
      }
    }
    throw failure;
  }
}

const isKnown = (one: SignerOrNot): one is SignerOrNot & KnownSigner => one.policy !== undefined;
