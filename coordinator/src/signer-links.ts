/** The links to all signers, and what they know together. */
import type { QuorumPolicy, Registry } from '@mecai/corroboration';
import type { WatchRegistryResponse } from '@mecai/proto/signer';
import { SignerLink, type SignerLinkOptions } from './signer-link.ts';

export class SignerLinks {
  readonly all: readonly SignerLink[];
  readonly #stopRefreshing: readonly (() => void)[];

  constructor(
    signers: readonly SignerLinkOptions['signer'][],
    refreshEveryMs: number,
    options: Omit<SignerLinkOptions, 'signer'>,
  ) {
    this.all = signers.map((signer) => new SignerLink({ ...options, signer }));
    this.#stopRefreshing = this.all.map(({ revocation }) =>
      revocation.refreshEvery(refreshEveryMs, options.fail),
    );
  }

  /** How many can be reached. */
  get there(): number {
    return this.all.filter(({ there }) => there).length;
  }

  /** Undefined until one has been reached. */
  get policy(): QuorumPolicy | undefined {
    return this.all.find(({ policy }) => policy)?.policy;
  }

  /** The newest that one of them has. */
  get registry(): Registry {
    return this.all.map(({ registry }) => registry).reduce((a, b) => (b.version > a.version ? b : a));
  }

  /** The same with its operator's signature, if it has one. */
  get signedRegistry(): WatchRegistryResponse | undefined {
    const newest = this.registry;
    return this.all.find(({ registry }) => registry === newest)?.signedRegistry;
  }

  /** Entries on the longest distrust list. */
  get distrusted(): number {
    return Math.max(...this.all.map(({ distrust }) => distrust.size));
  }

  /** Why one of them would refuse the chain, as `Distrust.refusal`. */
  refusal(chain: readonly Uint8Array[], now: number): string | undefined {
    for (const { distrust } of this.all) {
      const refusal = distrust.refusal(chain, now);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const stop of this.#stopRefreshing) stop();
    await Promise.all(this.all.map((one) => one.close()));
  }
}
