import { type Logger, reasonOf, untilItWorks } from '@mecai/runtime';
import { type Candidate, isObservation, isRecord } from './candidate.ts';
import { AnalyticsError } from './error.ts';
import { PackedObservations } from './packed-observations.ts';
import type { RecentIds } from './recent-ids.ts';
import {
  type EventTable,
  type EvidenceRow,
  type ObservationEvent,
  type RecordEvent,
  eventTables,
} from './rows.ts';
import { Store, type StoreOptions } from './store.ts';
import { type ReceivedChain, storeCertificates } from './stored-certificates.ts';
import { findPresent, loadRecent } from './stored-ids.ts';

/** What an observation is, by memory alone. */
export type Sifted = 'packed' | 'repeated' | 'doubtful';

export interface Written {
  readonly stored: number;
  /** Rows that were there already. */
  readonly repeated: number;
}

/** As many as are under way at once. */
const mostSpare = 3;

/**
 * Writes events so that each is stored exactly once, though NATS hands them out at least once and agents may
 * publish them again: before an insert, events that could be there are looked for, by memory or in the store.
 * An insert whose outcome is unknown is followed by a new look.
 *
 * One writer per database, since two could look at the same moment: the directory's lock or the lease sees to it.
 */
export class Writer {
  readonly #options: StoreOptions;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  #open: Promise<Opened | AnalyticsError> | undefined;
  #opened: Opened | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #held = true;
  #had = false;
  /** Not stored yet. */
  readonly #packed = new Set<PackedObservations>();
  /** Empty ones, whose memory is used again: to give it back and ask for it costs more than to fill it. */
  readonly #spare: PackedObservations[] = [];

  constructor(options: StoreOptions, { log, signal }: { log: Logger; signal: AbortSignal }) {
    this.#options = options;
    this.#log = log;
    this.#signal = signal;
  }

  /** Whether another process has the store, as far as is known: what one takes here, that one cannot store. */
  get held(): boolean {
    return this.#held;
  }

  /** The store, when it is there. */
  get store(): Store | undefined {
    return this.#opened?.store;
  }

  /** Room for the observations of a batch that are known to be new; to be handed to `write` or `drop`. */
  pack(): PackedObservations {
    const packed = this.#spare.pop() ?? new PackedObservations();
    this.#packed.add(packed);
    return packed;
  }

  /** Ids of observations that are packed and not stored yet. */
  unstored(): Set<string> {
    return new Set(Array.from(this.#packed, (packed) => [...packed.ids()]).flat());
  }

  drop(packed: PackedObservations): void {
    if (!this.#packed.delete(packed)) return;
    // An insert that was given up may still read what it was given.
    if (packed.doubtful || this.#spare.length === mostSpare) return;
    packed.clear();
    this.#spare.push(packed);
  }

  /**
   * Tells by memory alone what an observation is, and packs it when it is new. One that is in doubt is a candidate
   * for `write`.
   */
  sift({ event, redelivered }: Candidate<ObservationEvent>, packed: PackedObservations): Sifted {
    const recent = this.#opened?.recent.get('observations');
    if (!recent) return 'doubtful';
    const { row, earliest } = event;
    if (redelivered || recent.mayHaveForgotten(earliest)) return recent.has(row.id) ? 'repeated' : 'doubtful';
    if (!recent.add(row.id, row.received_at)) return 'repeated';
    packed.add(event);
    return 'packed';
  }

  /**
   * Returns once everything is stored, which takes as long as the store is absent.
   *
   * @throws AnalyticsError `newer-schema`; the signal's reason when aborted while the store is absent
   */
  write(candidates: readonly Candidate[], packed = this.pack()): Promise<Written> {
    const written = this.#turn
      .then(() => this.#writeUntilStored(candidates, packed))
      .finally(() => this.drop(packed));
    this.#turn = written.catch(() => {});
    return written;
  }

  /** Opens the store, retrying while it is absent. */
  async open(): Promise<void> {
    await this.#ready();
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.store
      ?.release()
      .catch((error: unknown) => this.#log.warn({ reason: reasonOf(error) }, 'lease not released'));
    await this.#forget();
  }

  async #writeUntilStored(candidates: readonly Candidate[], packed: PackedObservations): Promise<Written> {
    const before = packed.rows;
    const observations = candidates.filter(isObservation);
    const others = candidates.filter(isRecord);
    let sought = false;
    for (let again = false; ; again = true) {
      const opened = await this.#ready();
      try {
        if (!sought) await pack(opened, observations, packed);
        sought = true;
        const stored = packed.rows + (await this.#attempt(opened, others, packed, again));
        return { stored, repeated: before + candidates.length - stored };
      } catch (error) {
        this.#log.warn(
          { reason: error instanceof Error ? error.message : error },
          'not stored; opening the store anew',
        );
        await this.#forget();
        this.#signal.throwIfAborted();
      }
    }
  }

  /** @returns rows of other tables than `observations` */
  async #attempt(
    { store, recent, certificates }: Opened,
    candidates: readonly Candidate<RecordEvent>[],
    packed: PackedObservations,
    again: boolean,
  ): Promise<number> {
    let stored = 0;
    // Before the observations, so that none names a certificate that is not there.
    await storeCertificates(store, certificates, [...packed.chains, ...chainsOf(candidates)]);
    await storeVouchers(store, candidates);
    await storeEvidence(store, packed.evidence);
    await store.insertPacked(packed);
    const byTable = Map.groupBy(candidates, ({ event }) => event.table);
    for (const [table, ofTable] of byTable) {
      const ids = recent.get(table)!;
      const present = await findPresent(store, table, ids, ofTable, again);
      const fresh: RecordEvent[] = [];
      for (const { event } of ofTable) {
        if (present.has(event.row.id)) continue;
        present.add(event.row.id);
        fresh.push(event);
      }
      await store.insert(
        table,
        fresh.map(({ row }) => row),
        fresh.map(({ row }) => row.id),
      );
      for (const { row } of fresh) ids.add(row.id, row.received_at);
      stored += fresh.length;
    }
    return stored;
  }

  async #ready(): Promise<Opened> {
    this.#open ??= untilItWorks('store', () => this.#openOnce(), { log: this.#log, signal: this.#signal });
    try {
      const opened = await this.#open;
      if (opened instanceof AnalyticsError) throw opened;
      this.#opened = opened;
      return opened;
    } catch (error) {
      this.#open = undefined;
      throw error;
    }
  }

  /** What waiting does not heal is handed back instead of thrown. */
  async #openOnce(): Promise<Opened | AnalyticsError> {
    const { lease } = this.#options;
    const options = { ...this.#options, ...(lease && { lease: { ...lease, had: this.#had } }) };
    const store = await Store.open(options, this.#log).catch((error: unknown) => {
      this.#held = error instanceof AnalyticsError && error.code === 'store-held';
      if (error instanceof AnalyticsError && error.code === 'newer-schema') return error;
      throw error;
    });
    if (store instanceof AnalyticsError) return store;
    try {
      const recent = new Map<EventTable, RecentIds>();
      this.#held = false;
      this.#had = true;
      for (const table of eventTables) recent.set(table, await loadRecent(store, table));
      for (const packed of this.#packed) {
        if (packed.rows === 0) continue;
        // Who knows what became of them, and who else had the store meanwhile.
        packed.doubtful = true;
        for (const id of packed.ids()) recent.get('observations')!.add(id, packed.newest);
      }
      return { store, recent, certificates: new Set() };
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  async #forget(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#open = undefined;
    await opened?.store.close().catch(() => {});
  }
}

interface Opened {
  readonly store: Store;
  readonly recent: ReadonlyMap<EventTable, RecentIds>;
  /** Fingerprints known to be stored. */
  readonly certificates: Set<string>;
}

/** Packs those of the candidates that are not stored. */
async function pack(
  { store, recent }: Opened,
  candidates: readonly Candidate<ObservationEvent>[],
  packed: PackedObservations,
): Promise<void> {
  const ids = recent.get('observations')!;
  const present = await findPresent(store, 'observations', ids, candidates, false);
  for (const { event } of candidates) {
    const { row } = event;
    // By now another copy may have been packed.
    if (present.has(row.id) || ids.has(row.id)) continue;
    packed.add(event);
    ids.add(row.id, row.received_at);
  }
}

const chainsOf = (candidates: readonly Candidate[]): ReceivedChain[] =>
  candidates.flatMap(({ event: { certificates, row } }) =>
    certificates ? [[certificates, row.received_at] as const] : [],
  );

/** Before the decisions, so that none names a voucher that is not there; one that is stored already is replaced by itself. */
async function storeVouchers(store: Store, candidates: readonly Candidate[]): Promise<void> {
  const vouchers = candidates.flatMap(({ event: { voucher } }) => (voucher ? [voucher] : []));
  await store.insert(
    'vouchers',
    vouchers,
    vouchers.map(({ id }) => id),
  );
}

async function storeEvidence(store: Store, evidence: readonly EvidenceRow[]): Promise<void> {
  await store.insert(
    'evidence',
    evidence,
    evidence.map(({ observation }) => observation),
  );
}
