/**
 * What JetStream has acknowledged of late, to be offered again when a stream has another leader. A node of nats-server
 * 2.9 that led a stream, was cut off and came back may lack messages that were acknowledged meanwhile, and nobody
 * notices before it leads again (seen with 2.9.10, not with 2.15.1). Under its message id a repeat is stored only where
 * it is missing.
 */
import * as z from 'zod';
import { AgedMap } from './aged-map.ts';

/**
 * Bounds of what is kept. Streams know a message id for two minutes by default (`duplicateWindowMs`); beyond that
 * a repeat would be stored twice, hence the largest `ms`.
 */
export const keepStored = (octets: number) =>
  z
    .strictObject({
      /** Since the acknowledgement; 0: nothing is kept. */
      ms: z.number().int().min(0).max(100_000).default(90_000),
      octets: z
        .number()
        .int()
        .min(0)
        .max(2 ** 30)
        .default(octets),
    })
    .prefault({});

export interface KeepStored {
  readonly ms: number;
  readonly octets: number;
}

interface Stored {
  readonly id: string;
  readonly bytes: Uint8Array;
}

export class RecentlyStored<T extends Stored> {
  readonly #bounds: KeepStored;
  readonly #now: () => number;
  /** In the order of their first acknowledgement. */
  readonly #all = new AgedMap<string, { readonly one: T; readonly since: number }>();
  #octets = 0;

  /** @param now milliseconds, of a clock that never goes back */
  constructor(bounds: KeepStored, now: () => number) {
    this.#bounds = bounds;
    this.#now = now;
  }

  get octets(): number {
    return this.#octets;
  }

  /** Acknowledged again it is as old as it was. */
  add(one: T): void {
    if (!this.#all.has(one.id)) {
      this.#all.set(one.id, { one, since: this.#now() });
      this.#octets += one.bytes.length;
    }
    this.#forget();
  }

  /** Oldest first. */
  all(): T[] {
    this.#forget();
    return Array.from(this.#all.values(), ({ one }) => one);
  }

  /** Whether it is not too old to be offered. */
  has({ id }: T): boolean {
    this.#forget();
    return this.#all.has(id);
  }

  #forget(): void {
    const oldest = this.#now() - this.#bounds.ms;
    for (let next = this.#all.oldest; next; next = this.#all.oldest) {
      const [id, { one, since }] = next;
      if (since > oldest && this.#octets <= this.#bounds.octets) return;
      this.#all.delete(id);
      this.#octets -= one.bytes.length;
    }
  }
}
