import type { ClientReadableStream } from '@grpc/grpc-js';
import { DatabaseError } from '@mecai/database';
import type { WatchDistrustResponse } from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
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
/** After the stream from the signer was lost, milliseconds. */
const watchAgainMs = 500;

/** Keeps the copy up to date until it is closed. */
export class Distrust {
  readonly #parts: DistrustParts;
  readonly #looking: NodeJS.Timeout;
  #stream: ClientReadableStream<WatchDistrustResponse> | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;
  #trouble = false;
  #synchronizing: Promise<void> = Promise.resolve();

  constructor(parts: DistrustParts) {
    this.#parts = parts;
    this.#looking = setInterval(() => this.#look(), lookEveryMs);
    this.#watch();
  }

  /** @param now milliseconds since 1970 */
  refusal(chain: readonly Uint8Array[], now: number): string | undefined {
    return earlyRefusal(this.#parts.copy.entries, chain, new Date(now));
  }

  get size(): number {
    return this.#parts.copy.entries.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#looking);
    clearTimeout(this.#again);
    this.#stream?.cancel();
    await this.#synchronizing;
  }

  #watch(): void {
    const { copy, watch } = this.#parts;
    const stream = watch();
    this.#stream = stream;
    copy.begin();
    stream.on('data', ({ records, complete }: WatchDistrustResponse) => {
      copy.learn(records, complete);
      this.#look();
    });
    const lost = () => {
      if (this.#stream !== stream || this.#closed) return;
      this.#stream = undefined;
      this.#again = setTimeout(() => this.#watch(), watchAgainMs);
    };
    stream.on('error', lost);
    stream.on('end', lost);
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
