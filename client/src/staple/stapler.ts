/** The stapler: looks at the server, asks the VAs for what is due, and brings what came to the server. */
import { earlyRenewal, type RenewalInformation } from '@mecai/voucher';
import type { VaEntry } from '../va-list/va-list.ts';
import { deliver, type DeliveryOptions } from './deliver.ts';
import { StapleError } from './error.ts';
import type { OcspAugmenter, OcspResponses } from './ocsp.ts';
import { outputsFor } from './outputs.ts';
import type { RenewalSource } from './renewal-source.ts';
import type { Rhythm } from './schedule.ts';
import { newRecord, type StateDirectory, type TargetState, type VaRecord } from './state.ts';
import { isSelfSigned, type Plan, type Target } from './targets.ts';
import { type Answered, heldVouchers, recorded } from './vouchers.ts';

export interface StaplerParts {
  /** Throws `StapleError`; the VAs to ask, in the order of the list. */
  readonly vas: () => readonly VaEntry[];
  /** Throws `StapleError`. */
  readonly plan: () => Plan;
  readonly ask: (va: VaEntry, target: Target) => Promise<Answered>;
  readonly renewal: RenewalSource;
  readonly state: StateDirectory;
  readonly delivery: Omit<DeliveryOptions, 'owed'>;
  readonly wellKnown?: string;
  readonly ocsp?: {
    readonly vas?: readonly string[];
    readonly responses: OcspResponses;
    readonly augmenter: OcspAugmenter;
  };
  readonly rhythm: Rhythm;
  readonly lookEverySeconds: number;
  readonly concurrency: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: (event: string, fields?: Readonly<Record<string, unknown>>) => void;
}

export interface TargetStatus {
  readonly target: Target;
  readonly vas: ReadonlyMap<string, VaRecord>;
}

export interface StaplerStatus {
  readonly targets: readonly TargetStatus[];
  readonly vas: readonly VaEntry[];
  /** What stands in the way, for people. */
  readonly problems: readonly string[];
  /** Milliseconds since 1970; 0: never. */
  readonly lastRound: number;
  readonly lastDelivery: number;
  readonly lastReload: number;
  readonly counts: Readonly<Record<StaplerCount, number>>;
  /** Augmented OCSP responses by target. */
  readonly ocspResponses: ReadonlyMap<string, Uint8Array>;
}

export type StaplerCount = 'requests' | 'issued' | 'failed' | 'reloads' | 'reloadsFailed' | 'renewedEarly';

/** Requests for a voucher that was issued so recently are not moved forward, whatever a VA says. */
const leastAgeMs = 600_000;

export class Stapler {
  readonly #parts: StaplerParts;
  readonly #states = new Map<string, TargetState>();
  readonly #counts: Record<StaplerCount, number> = {
    requests: 0,
    issued: 0,
    failed: 0,
    reloads: 0,
    reloadsFailed: 0,
    renewedEarly: 0,
  };
  #plan: Plan = { targets: [], stubs: [], problems: [] };
  #vas: readonly VaEntry[] = [];
  #problems: string[] = [];
  #reloadOwed = false;
  #lastRound = 0;
  #lastDelivery = 0;
  #lastReload = 0;
  #ocspResponses: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(parts: StaplerParts) {
    this.#parts = parts;
  }

  get status(): StaplerStatus {
    return {
      targets: this.#plan.targets.map((target) => ({ target, vas: this.#stateOf(target) })),
      vas: this.#vas,
      problems: this.#problems,
      lastRound: this.#lastRound,
      lastDelivery: this.#lastDelivery,
      lastReload: this.#lastReload,
      counts: this.#counts,
      ocspResponses: this.#ocspResponses,
    };
  }

  /** Does what is due, and returns when the next round is: milliseconds since 1970. */
  async round(): Promise<number> {
    const { state, log, now, lookEverySeconds } = this.#parts;
    const problems: string[] = [];
    const problem = (why: string) => {
      if (problems.includes(why)) return;
      problems.push(why);
      if (!this.#problems.includes(why)) log('problem', { why });
    };
    this.#look(problem);
    // What the server cannot do without is there before the VAs are asked, which may take long.
    if (this.#lastRound === 0) await this.#deliver(problem);
    await this.#askDue(problem);
    await this.#deliver(problem);
    state.tidy(new Set(this.#plan.targets.map(({ id }) => id)), now());
    this.#problems = problems;
    this.#lastRound = now();
    return Math.min(now() + lookEverySeconds * 1_000, this.#nextRequest());
  }

  /** Reads configuration, certificates and VA list anew; what cannot be read stays as it was. */
  #look(problem: (why: string) => void): void {
    const attempt = <T>(read: () => T): T | undefined => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof StapleError)) throw error;
        problem(error.message);
        return undefined;
      }
    };
    const { vas, plan, state } = this.#parts;
    this.#vas = attempt(vas) ?? this.#vas;
    const planned = attempt(plan);
    if (planned) {
      this.#plan = planned;
      this.#states.clear();
      for (const { id } of planned.targets) this.#states.set(id, state.load(id, problem));
    }
    this.#plan.problems.forEach(problem);
  }

  #stateOf({ id }: Target): TargetState {
    const state = this.#states.get(id) ?? new Map<string, VaRecord>();
    this.#states.set(id, state);
    return state;
  }

  /** Each VA has a lane of its own, so that one that is slow or down holds up no other. */
  async #askDue(problem: (why: string) => void): Promise<void> {
    const { now, renewal, concurrency } = this.#parts;
    await Promise.all(
      this.#vas.map(async (va) => {
        const information = await renewal.of(va.vrp, now(), (why) => problem(`${va.id}: ${why}`));
        const due = this.#plan.targets.flatMap((target) => {
          const when = this.#whenDue(va, target, information);
          return when && when.at <= now() ? [{ target, early: when.early }] : [];
        });
        let down: Answered | undefined;
        await inParallel(due, concurrency, async ({ target, early }) => {
          const answered = down ?? (await this.#parts.ask(va, target));
          // Not tried in vain for each of many certificates.
          if (answered.status === 'unreachable') down = answered;
          this.#record(va, target, answered, early);
        });
      }),
    );
  }

  /** Milliseconds since 1970; undefined for what no VA can be asked about. */
  #whenDue(
    va: VaEntry,
    target: Target,
    information: RenewalInformation,
  ): { readonly at: number; readonly early: boolean } | undefined {
    if (target.name === undefined || isSelfSigned(target)) return undefined;
    const { voucher, next, failures } = this.#stateOf(target).get(va.id) ?? newRecord;
    // After a failure the record says when: a VA that is down is not asked each time.
    if (!voucher || failures > 0) return { at: next, early: false };
    const moved = earlyRenewal(information, new Date(voucher.producedAt), target.chain, voucher.lot);
    const at = moved && Math.max(moved.getTime(), voucher.producedAt + leastAgeMs);
    return at !== undefined && at < next ? { at, early: true } : { at: next, early: false };
  }

  #record(va: VaEntry, target: Target, answered: Answered, isEarly: boolean): void {
    const { state, now, rhythm, random, log } = this.#parts;
    const records = this.#stateOf(target);
    const before = records.get(va.id);
    const record = recorded(before, answered, now(), rhythm, random);
    records.set(va.id, record);
    state.save(target.id, records);
    this.#counts.requests++;
    if (answered.outcome.kind === 'issued') this.#counts.issued++;
    if (answered.outcome.kind === 'failed') this.#counts.failed++;
    if (isEarly) this.#counts.renewedEarly++;
    log('asked', {
      va: va.id,
      name: target.name,
      target: target.id,
      status: answered.status,
      ...(answered.detail !== undefined && { detail: answered.detail }),
      ...(isEarly && { early: true }),
      ...(before?.voucher && !record.voucher && { withdrawn: true }),
      next: new Date(record.next).toISOString(),
    });
  }

  async #deliver(problem: (why: string) => void): Promise<void> {
    const { now, delivery, wellKnown, ocsp, concurrency, log } = this.#parts;
    const at = new Date(now());
    const tell = (target: Target, why: string) => problem(`${target.name ?? target.id}: ${why}`);
    const ocspBase = new Map<string, Uint8Array>();
    if (ocsp) {
      await inParallel(this.#plan.targets, concurrency, async (target) => {
        if (isSelfSigned(target)) return;
        const response = await ocsp.responses.for(target, at, (why) => tell(target, why));
        if (response) ocspBase.set(target.id, response);
      });
    }
    const { files, responses } = outputsFor({
      plan: this.#plan,
      vas: this.#vas,
      vouchersOf: (target) => this.#held(target),
      ...(wellKnown !== undefined && { wellKnown }),
      ...(ocsp && {
        ocsp: {
          vas: ocsp.vas ?? this.#vas.map(({ id }) => id),
          responseOf: ({ id }) => ocspBase.get(id),
          augmenter: ocsp.augmenter,
        },
      }),
      now: at,
      problem: tell,
    });
    this.#ocspResponses = responses;
    try {
      const { changed, reloaded } = await deliver(files, { ...delivery, owed: this.#reloadOwed });
      this.#reloadOwed = false;
      if (changed.length > 0) {
        this.#lastDelivery = now();
        log('delivered', { files: changed, reloaded });
      }
      if (reloaded) {
        this.#counts.reloads++;
        this.#lastReload = now();
      }
    } catch (error) {
      if (!(error instanceof StapleError)) throw error;
      if (error.code === 'reload-failed') {
        this.#counts.reloadsFailed++;
        this.#reloadOwed = true;
      }
      problem(error.message);
    }
  }

  /** Vouchers that hold, of the VAs that are still asked. */
  #held(target: Target): ReadonlyMap<string, Uint8Array> {
    return heldVouchers(this.#stateOf(target), this.#vas, this.#parts.now());
  }

  #nextRequest(): number {
    const records = this.#plan.targets
      .filter((target) => target.name !== undefined && !isSelfSigned(target))
      .flatMap((target) => this.#vas.map(({ id }) => this.#stateOf(target).get(id)?.next ?? 0));
    return Math.min(this.#parts.renewal.next, ...records);
  }
}

/** So many at the same time. */
async function inParallel<T>(
  items: readonly T[],
  limit: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (const one of left) await act(one);
    }),
  );
}
