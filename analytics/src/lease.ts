import { setTimeout as delay } from 'node:timers/promises';
import { AnalyticsError } from './error.ts';
import type { Cluster } from './schema/cluster.ts';

/** What a lease asks of the store. */
export interface LeaseStore {
  query<T>(query: string, parameters?: Readonly<Record<string, unknown>>): Promise<T[]>;
  command(query: string, parameters?: Readonly<Record<string, unknown>>): Promise<void>;
}

export interface LeaseOptions {
  /** Name that no other process has: letters, digits, hyphens. */
  readonly holder: string;
  /** Milliseconds after the last renewal at which another process may take over. */
  readonly ms: number;
  /** This process had it already: it does not take it back from another, which knows what this one missed. */
  readonly had?: boolean;
  /** It is another's: this process must not write any more. */
  readonly lost: (error: AnalyticsError) => void;
}

/** How often a process that takes over looks whether inserts still run. */
const lookMs = 100;

const refusal = 'the store is written by another process now';

const current = 'SELECT argMax(holder, (epoch, holder)) FROM leases';

/**
 * Which of several processes writes into a store: the holder of the highest epoch. Each insert is given the condition
 * `guard`, which the store decides when the insert begins. So a process that was paused for however long, and wakes
 * in the midst of an insert, writes nothing once another has taken over; and who takes over waits until no insert
 * runs that began before. (A fencing token, as in M. Kleppmann, "How to do distributed locking", 2016.)
 */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #store: LeaseStore;
  readonly #cluster: Cluster | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LeaseOptions, store: LeaseStore, cluster: Cluster | undefined) {
    this.#options = options;
    this.#store = store;
    this.#cluster = cluster;
  }

  /** Condition of a WHERE; the insert fails when it does not hold. */
  get guard(): string {
    return `throwIf((${current}) != '${this.#options.holder}', '${refusal}') = 0`;
  }

  /** @throws AnalyticsError `store-held` while another process has it */
  async take(): Promise<void> {
    const { holder, ms, had } = this.#options;
    const [found] = await this.#store.query<Found>(
      `SELECT holder, epoch, released, toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(at) AS ageMs
        FROM leases FINAL ORDER BY epoch DESC, holder DESC LIMIT 1`,
    );
    const mine = found?.holder === holder;
    if (found && !mine && had) throw this.#lose();
    if (found && !mine && !found.released && found.ageMs < ms) throw held(found);
    if (!mine) await this.#insert(`SELECT ${(found?.epoch ?? 0) + 1}, '${holder}', false`);
    const [now] = await this.#store.query<Found>(`SELECT (${current}) AS holder`);
    if (now!.holder !== holder) throw held(now!);
    while ((await this.#insertsRunning()) > 0) await delay(lookMs);
    await this.#renew();
    this.#timer = setInterval(() => {
      this.#renew().catch((error: unknown) => this.noticed(error));
    }, ms / 3);
  }

  /** Whether an insert was refused by the guard; then it is told that the lease is lost. */
  noticed(error: unknown): void {
    if (!(error instanceof Error) || !error.message.includes(refusal)) return;
    this.#lose(error);
  }

  #lose(cause?: unknown): AnalyticsError {
    this.stop();
    const error = new AnalyticsError('store-held', refusal, { cause });
    this.#options.lost(error);
    return error;
  }

  /** Renews it no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Another may take over at once. */
  async release(): Promise<void> {
    this.stop();
    await this.#insert(this.#again(true));
  }

  #renew(): Promise<void> {
    return this.#insert(this.#again(false));
  }

  #again(released: boolean): string {
    return `SELECT (SELECT max(epoch) FROM leases), '${this.#options.holder}', ${released} WHERE ${this.guard}`;
  }

  #insert(select: string): Promise<void> {
    return this.#store.command(`INSERT INTO leases (epoch, holder, released) ${select}`);
  }

  async #insertsRunning(): Promise<number> {
    const processes = this.#cluster
      ? `clusterAllReplicas('${this.#cluster.name}', system.processes)`
      : 'system.processes';
    const [found] = await this.#store.query<{ n: number }>(
      `SELECT count() AS n FROM ${processes} WHERE query_kind = 'Insert' AND current_database = currentDatabase()`,
    );
    return found!.n;
  }
}

interface Found {
  readonly holder: string;
  readonly epoch: number;
  readonly released: boolean;
  readonly ageMs: number;
}

const held = ({ holder }: Found) =>
  new AnalyticsError('store-held', `the store is written by another process (${holder})`);
