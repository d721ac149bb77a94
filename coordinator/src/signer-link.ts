/** One signer, and what this coordinator knows of it. */
import type { QuorumPolicy, Registry } from '@mecai/corroboration';
import { isDeepStrictEqual } from 'node:util';
import type { Link, WatchRegistryResponse } from '@mecai/proto/signer';
import { type Logger, Svid, type Telemetry, keptChild, untilItWorks } from '@mecai/runtime';
import type { CoordinatorConfig } from './config.ts';
import { DistrustCopy } from './distrust/distrust-copy.ts';
import { Distrust } from './distrust/distrust.ts';
import { RegistryCopy } from './registry-copy.ts';
import type { Renewals } from './renewals.ts';
import { Revocation, type RevocationParts } from './revocation.ts';
import { SignerClient } from './signer-client.ts';
import type { Store } from './store.ts';
import { Watch } from './watch.ts';

export interface SignerLinkOptions {
  readonly signer: CoordinatorConfig['signers'][number];
  /** Text of the registry file. */
  readonly registry: string;
  readonly revocation: Omit<RevocationParts, 'signer' | 'log'>;
  readonly renewals: Renewals;
  readonly askEveryMs: number;
  readonly store: Pick<Store, 'database'>;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** It may come back as another. */
  readonly lost: () => void;
  readonly fail: (error: unknown) => void;
}

/** Reaches the signer, and reaches it again whenever it is lost, until closed. */
export class SignerLink {
  readonly id: string;
  readonly client: SignerClient;
  readonly revocation: Revocation;
  readonly distrust: Distrust;
  readonly #options: SignerLinkOptions;
  readonly #log: Logger;
  readonly #svid: Svid;
  readonly #registry: RegistryCopy;
  readonly #watch: Watch<WatchRegistryResponse>;
  readonly #asking: NodeJS.Timeout;
  readonly #ending = new AbortController();
  #there = false;
  #policy: QuorumPolicy | undefined;
  #vaLinks: readonly Link[] = [];

  constructor(options: SignerLinkOptions) {
    this.#options = options;
    const { signer, registry, telemetry, store, askEveryMs, now } = options;
    const fail = this.#failUnlessEnding;
    const log = keptChild(options.log, { signer: signer.id });
    this.#log = log;
    this.id = signer.id;
    this.#svid = Svid.of(signer.tls, log);
    this.client = new SignerClient({
      address: signer.address,
      credentials: this.#svid.clientCredentials(signer.id),
      log,
      telemetry,
      now,
      lost: () => {
        this.revocation.forget();
        options.lost();
        // One that has come back may have another policy.
        if (this.#there) this.#describe().catch(fail);
      },
    });
    this.revocation = new Revocation({ ...options.revocation, signer: this.client, log });
    this.#registry = new RegistryCopy(registry, log);
    this.#watch = new Watch(
      () => this.client.watchRegistry(),
      (message) => this.#registry.learn(message),
    );
    this.distrust = new Distrust({
      copy: new DistrustCopy(signer.id, () => store.database),
      watch: () => this.client.watchDistrust(),
      log,
      fail,
    });
    this.#asking = setInterval(() => {
      if (!this.#there) return;
      // One that cannot be reached is waited for elsewhere.
      this.#askAgain().catch(() => undefined);
    }, askEveryMs);
    this.#describe().catch(fail);
  }

  /** Whether it answered last. */
  get there(): boolean {
    return this.#there;
  }

  /** Undefined until it has been reached once. */
  get policy(): QuorumPolicy | undefined {
    return this.#policy;
  }

  get registry(): Registry {
    return this.#registry.current;
  }

  get signedRegistry(): WatchRegistryResponse | undefined {
    return this.#registry.signed;
  }

  async close(): Promise<void> {
    clearInterval(this.#asking);
    await this.distrust.close();
    this.#ending.abort(new Error('stopping'));
    this.#watch.close();
    this.client.close();
    this.#svid.close();
  }

  async #describe(): Promise<void> {
    this.#there = false;
    const { signal } = this.#ending;
    const description = await untilItWorks('signer', () => this.client.describe(), {
      log: this.#log,
      signal,
    });
    const { registryVersion, links } = description;
    // First, so that the first voucher has the VA's status too.
    await this.#bringOfVa(links);
    this.#there = true;
    this.#policy = description.policy;
    this.#options.renewals.set(this.id, description.renewals);
    this.#log.info({ policy: this.#policy, registryVersion }, 'signer reached');
  }

  async #askAgain(): Promise<void> {
    const { renewals, links } = await this.client.describe();
    this.#options.renewals.set(this.id, renewals);
    // It may have been told of another VA certificate, which it is to sign with next.
    if (!isDeepStrictEqual(links, this.#vaLinks)) await this.#bringOfVa(links);
  }

  async #bringOfVa(links: readonly Link[]): Promise<void> {
    this.#vaLinks = links;
    await this.revocation.bringOfVa(links);
  }

  readonly #failUnlessEnding = (error: unknown): void => {
    if (!this.#ending.signal.aborted) this.#options.fail(error);
  };
}
