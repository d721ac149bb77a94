import { type Logger, untilItWorks } from '@mecai/runtime';
import type { CoordinatorConfig } from './config.ts';
import { CoordinatorError } from './error.ts';
import { type NatsLink, openNatsLink } from './nats-link.ts';
import { Perspectives } from './perspectives.ts';
import { Records } from './records.ts';
import { StreamPublisher } from './stream-publisher.ts';

export interface MessagingOptions {
  readonly config: Pick<CoordinatorConfig, 'name' | 'nats'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Ends the attempts to reach NATS. */
  readonly signal: AbortSignal;
  readonly onStatus: Parameters<Perspectives['onStatus']>[0];
  readonly fail: (error: unknown) => void;
}

interface Reached {
  readonly link: NatsLink;
  readonly perspectives: Perspectives;
  readonly records: Records;
}

/** All that needs NATS, which may come late, go and come back. */
export class Messaging {
  readonly #opening: Promise<void>;
  #there = false;
  #reached: Reached | undefined;

  constructor({ config, log, now, signal, onStatus, fail }: MessagingOptions) {
    const changed = (there: boolean) => {
      this.#there = there;
      this.perspectives?.connected(there);
    };
    this.#opening = untilItWorks('NATS', () => openNatsLink(config, log, changed), { log, signal })
      .then((link) => {
        const { nats } = link;
        this.#there = true;
        const perspectives = new Perspectives(nats, config.name, now, fail);
        perspectives.onStatus(onStatus);
        const publisher = new StreamPublisher(nats, config.name);
        const { keepStored } = config.nats;
        const records = new Records(publisher, config.name, log, () => this.#there, { keepStored });
        link.onLeader(() => void records.offerAgain());
        this.#reached = { link, perspectives, records };
        log.info({ server: nats.getServer() }, 'NATS reached');
        nats.closed().then((error) => fail(error ?? new Error('NATS closed the connection')), fail);
        return undefined;
      })
      .catch(fail);
  }

  /** Whether NATS can be reached. */
  get there(): boolean {
    return this.#there;
  }

  /** Undefined until NATS has been reached once. */
  get perspectives(): Perspectives | undefined {
    return this.#reached?.perspectives;
  }

  get records(): Records | undefined {
    return this.#reached?.records;
  }

  /** Nodes that lack what a stream has, by stream. */
  get replicasBehind(): ReadonlyMap<string, number> {
    return this.#reached?.link.replicas.behind ?? new Map();
  }

  /** @throws CoordinatorError `nats-unavailable` until NATS has been reached once */
  expectReached(): Reached {
    if (this.#reached) return this.#reached;
    throw new CoordinatorError('nats-unavailable', 'NATS has not been reached yet');
  }

  /** To whoever listens now; lost while NATS is away. */
  tell(subject: string, bytes: Uint8Array): void {
    if (this.#there) this.#reached?.link.nats.publish(subject, bytes);
  }

  /** Listens to stragglers and stores what is left, for so many milliseconds at most. */
  async finish(stragglersMs: number, recordsMs: number): Promise<void> {
    await this.perspectives?.quiet(stragglersMs);
    await this.records?.drain(recordsMs);
  }

  /** After the attempts have been ended. */
  async close(): Promise<void> {
    await this.#opening;
    await this.#reached?.link.close();
  }
}
