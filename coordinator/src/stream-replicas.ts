import type { JetStreamManager } from '@nats-io/jetstream';

/**
 * How many nodes of the cluster lack what a stream has, or are gone, as the stream's leader sees it. With one of three
 * nothing stops; with the next one everything does.
 */
export class StreamReplicas {
  readonly #behind = new Map<string, number>();
  readonly #manager: JetStreamManager;
  readonly #streams: readonly string[];
  readonly #timer: NodeJS.Timeout;

  /** @param everyMs how often they are looked at */
  constructor(manager: JetStreamManager, streams: readonly string[], everyMs = 10_000) {
    this.#manager = manager;
    this.#streams = streams;
    this.#timer = setInterval(() => void this.#look(), everyMs).unref();
    void this.#look();
  }

  /** By stream; one that nobody answers for is not there. */
  get behind(): ReadonlyMap<string, number> {
    return this.#behind;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    await Promise.all(
      this.#streams.map(async (stream) => {
        try {
          const { config, cluster } = await this.#manager.streams.info(stream);
          const current = (cluster?.replicas ?? []).filter(({ current: has, offline }) => has && !offline);
          // Its leader has all of it.
          this.#behind.set(stream, Math.max(0, config.num_replicas - 1 - current.length));
        } catch {
          this.#behind.delete(stream);
        }
      }),
    );
  }
}
