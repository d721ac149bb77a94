/** Everything that tells people: looks up contacts, sends what is due, ends in order. */
import type { Database } from '@mecai/database';
import { type Logger, reasonOf } from '@mecai/runtime';
import { type Backlog, backlogOf } from './backlog.ts';
import { type CourierParts, courierRound } from './courier.ts';
import { type LookupParts, lookupRound } from './lookup.ts';

export interface NoticesParts {
  readonly database: Database;
  readonly lookup: LookupParts;
  readonly couriers: readonly CourierParts[];
  /** How often the outbox is looked at; other coordinators fill it, too. Milliseconds. */
  readonly pollMs: number;
  /** How long what came to its end is kept, milliseconds. */
  readonly keepMs: number;
  /** Deletes what came to its end before that time. */
  readonly forget: (before: number) => Promise<void>;
  /** Nothing is sent any more. */
  readonly closed: () => void;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** How often states are counted and old ones forgotten, milliseconds. */
const upkeepMs = 10_000;

export class Notices {
  readonly #parts: NoticesParts;
  readonly #stopping = new AbortController();
  readonly #lookups: Promise<void>;
  readonly #loops: Promise<void>[];
  readonly #closing = Promise.withResolvers<void>();
  #woken = Promise.withResolvers<void>();
  #ended = false;
  #backlog: Backlog | undefined;

  constructor(parts: NoticesParts) {
    this.#parts = parts;
    const { couriers, lookup, database, pollMs, keepMs, forget, now } = parts;
    this.#lookups = this.#loop('contacts', pollMs, () => lookupRound(lookup, () => this.wake()));
    this.#loops = [
      this.#loop('upkeep', upkeepMs, async () => {
        await forget(now() - keepMs);
        this.#backlog = await backlogOf(database, now());
        return false;
      }),
      ...couriers.map((courier) =>
        this.#loop(
          courier.medium,
          pollMs,
          async () => (await courierRound(courier, this.#stopping.signal)) > 0,
        ),
      ),
    ];
  }

  /** Something has been enqueued: it need not wait for the next look. */
  wake(): void {
    this.#woken.resolve();
    this.#woken = Promise.withResolvers();
  }

  /** As of some seconds ago. */
  get backlog(): Backlog | undefined {
    return this.#backlog;
  }

  /**
   * Begins nothing new; what is being sent has so long to end. Then the try counts as failed. Contacts that other
   * people's servers have not told by then are looked up anew when the lease is over.
   */
  async close(withinMs: number): Promise<void> {
    this.#ended = true;
    this.#closing.resolve();
    this.wake();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const patience = setTimeout(() => {
      this.#stopping.abort(new Error('stopping'));
      resolve();
    }, withinMs);
    await Promise.all([...this.#loops, Promise.race([this.#lookups, late])]);
    clearTimeout(patience);
    this.#parts.closed();
  }

  /** @param round returns whether there may be more to do at once */
  async #loop(what: string, everyMs: number, round: () => Promise<boolean>): Promise<void> {
    const { log } = this.#parts;
    while (!this.#ended) {
      const woken = what === 'upkeep' ? this.#closing.promise : this.#woken.promise;
      let more = false;
      try {
        more = await round();
      } catch (error) {
        // Most likely the database is away; the outbox is still there when it comes back.
        log.warn({ what, reason: reasonOf(error) }, 'outbox: not now');
      }
      if (!more && !this.#ended) await this.#pause(woken, everyMs);
    }
  }

  async #pause(woken: Promise<void>, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([promise, woken]);
    clearTimeout(timer);
  }
}
