import type { ClientReadableStream } from '@grpc/grpc-js';
import { DatabaseError } from '@mecai/database';
import type { WatchDistrustResponse } from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
import { Watch } from '../watch.ts';
import { DistrustCopy } from './distrust-copy.ts';
import { earlyRefusal } from './early-refusal.ts';

export interface DistrustParts {
  readonly copy: DistrustCopy;
  readonly watch: () => ClientReadableStream<WatchDistrustResponse>;
  readonly log: Logger;
  readonly fail: (error: unknown) => void;
}

/** How often the database is looked at for what other coordinators have learnt, milliseconds. */
const lookEveryMs = 1_000;

/** Keeps the copy up to date until it is closed. */
export class Distrust {
  readonly #parts: DistrustParts;
  readonly #looking: NodeJS.Timeout;
  readonly #watch: Watch<WatchDistrustResponse>;
  #trouble = false;
  #synchronizing: Promise<void> = Promise.resolve();

  constructor(parts: DistrustParts) {
    this.#parts = parts;
    this.#looking = setInterval(() => this.#look(), lookEveryMs);
    const { copy, watch } = parts;
    this.#watch = new Watch(
      watch,
      ({ records, complete }) => {
        copy.learn(records, complete);
        this.#look();
      },
      () => copy.begin(),
    );
  }

  /** @param now milliseconds since 1970 */
  refusal(chain: readonly Uint8Array[], now: number): string | undefined {
    return earlyRefusal(this.#parts.copy.entries, chain, new Date(now));
  }

  get size(): number {
    return this.#parts.copy.entries.length;
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    this.#watch.close();
    await this.#synchronizing;
  }

  #look(): void {
    this.#synchronizing = this.#synchronize();
  }

  async #synchronize(): Promise<void> {
    const { copy, log, fail } = this.#parts;
    try {
      await copy.synchronize();
      this.#trouble = false;
    } catch (error) {
      if (!(error instanceof DatabaseError) && !(error instanceof CoordinatorError)) fail(error);
      else if (!this.#trouble) log.warn({ err: error }, 'distrust not in the database');
      this.#trouble = true;
    }
  }
}
