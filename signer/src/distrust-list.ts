/** The operator's distrust list. The audit log is its memory: each change is a record there, replayed at start. */
import { type DistrustEntry, type DistrustSubject, nameKey } from '@mecai/pki';
import * as z from 'zod';
import type { AuditRecord } from './audit-log.ts';
import { hex } from './digest.ts';
import { SignerError } from './error.ts';

/** Who did it, when, and why. */
export interface DistrustAct {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly reason: string;
  readonly author: string;
  /** SPIFFE ID that the command came with. */
  readonly identity: string;
}

export interface ListedDistrust {
  readonly entry: DistrustEntry;
  readonly set: DistrustAct;
  readonly lifted?: DistrustAct;
}

/** Entries in force at once: each costs every new chain a comparison. */
const maxEntries = 10_000;

const act = z.strictObject({
  at: z.int().nonnegative(),
  reason: z.string().min(1).max(1_000),
  author: z.string().min(1).max(200),
  identity: z.string().min(1),
});
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const setRecord = z.object({
  event: z.literal('distrust-set'),
  id: z.string().min(1),
  subject: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('certificate'), sha256 }),
    z.strictObject({ kind: z.literal('spki'), sha256 }),
    z.strictObject({ kind: z.literal('issuer'), name: z.string().regex(/^([0-9a-f]{2}){2,4096}$/) }),
    z.strictObject({ kind: z.literal('operator'), organization: z.string().trim().min(1).max(256) }),
  ]),
  trustContext: z.string().min(1).optional(),
  from: z.int().positive().optional(),
  issuedAfter: z.int().positive().optional(),
  act,
});
const liftedRecord = z.object({ event: z.literal('distrust-lifted'), id: z.string(), act });

export class DistrustList {
  readonly #listed = new Map<string, ListedDistrust>();
  readonly #listeners: ((listed: ListedDistrust) => void)[] = [];
  #inForce: readonly DistrustEntry[] = [];
  /** Milliseconds since 1970: from when to when `#inForce` holds. */
  #since = Number.NEGATIVE_INFINITY;
  #until = Number.POSITIVE_INFINITY;

  /** @throws SignerError `audit-log-broken` when a record of the list cannot be read: it must not be passed over */
  replay(record: unknown): void {
    const { event, sequence }: { event?: unknown; sequence?: unknown } = Object(record);
    if (event !== 'distrust-set' && event !== 'distrust-lifted') return;
    try {
      if (event === 'distrust-set') this.#add(listedOf(setRecord.parse(record)));
      else {
        const { id, act: lifted } = liftedRecord.parse(record);
        this.#change(id, lifted);
      }
    } catch (cause) {
      throw new SignerError('audit-log-broken', `record ${String(sequence)}: ${event} cannot be read`, {
        cause,
      });
    }
  }

  /** Called with each entry that is set or lifted, once that is on the disk. */
  onChange(listener: (listed: ListedDistrust) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * In force when it returns, and stays so once the record is on the disk.
   *
   * Set again as it stands, nothing changes.
   *
   * @param audit a failure of which takes the entry off the list again
   * @throws SignerError `wrong-usage`
   */
  async set(
    entry: DistrustEntry,
    by: DistrustAct,
    audit: (record: AuditRecord) => Promise<unknown>,
  ): Promise<ListedDistrust> {
    if (this.#listed.size >= maxEntries) throw new SignerError('wrong-usage', `${maxEntries} entries`);
    const record = recordOf(entry, by);
    const parsed = setRecord.safeParse(record);
    if (!parsed.success) throw new SignerError('wrong-usage', z.prettifyError(parsed.error));
    const listed = listedOf(parsed.data);
    const there = this.#listed.get(entry.id);
    if (there && !there.lifted && sameEntry(there, listed)) return there;
    this.#add(listed);
    try {
      await audit(record);
    } catch (error) {
      this.#listed.delete(entry.id);
      this.#changed();
      throw error;
    }
    this.#tell(listed);
    return listed;
  }

  /**
   * Lifted again, nothing changes.
   *
   * @throws SignerError `wrong-usage`
   */
  async lift(
    id: string,
    by: DistrustAct,
    audit: (record: AuditRecord) => Promise<unknown>,
  ): Promise<ListedDistrust> {
    const listed = this.#listed.get(id);
    if (!listed) throw new SignerError('wrong-usage', `no entry ${JSON.stringify(id.slice(0, 64))}`);
    if (listed.lifted) return listed;
    const record = { event: 'distrust-lifted', id, act: by };
    const parsed = liftedRecord.safeParse(record);
    if (!parsed.success) throw new SignerError('wrong-usage', z.prettifyError(parsed.error));
    // Still in force until it is certain that a restart would not bring it back.
    await audit(record);
    const changed = this.#change(id, by);
    this.#tell(changed);
    return changed;
  }

  /** In the order in which they were set. */
  list(withLifted: boolean): ListedDistrust[] {
    return [...this.#listed.values()].filter(({ lifted }) => withLifted || !lifted);
  }

  /**
   * The same array until something changes.
   *
   * @param now milliseconds since 1970
   */
  inForce(now: number): readonly DistrustEntry[] {
    if (now >= this.#since && now < this.#until) return this.#inForce;
    const standing = this.list(false).map(({ entry, set }) => ({ ...entry, reason: set.reason }));
    const starts = standing.flatMap(({ from }) => (from ? [from.getTime()] : []));
    this.#inForce = standing.filter(({ from }) => !from || from.getTime() <= now);
    this.#since = Math.max(Number.NEGATIVE_INFINITY, ...starts.filter((start) => start <= now));
    this.#until = Math.min(Number.POSITIVE_INFINITY, ...starts.filter((start) => start > now));
    return this.#inForce;
  }

  #add(listed: ListedDistrust): void {
    const { id } = listed.entry;
    if (this.#listed.has(id)) throw new SignerError('wrong-usage', `entry ${id} is there already`);
    this.#listed.set(id, listed);
    this.#changed();
  }

  #change(id: string, lifted: DistrustAct): ListedDistrust {
    const listed = this.#listed.get(id);
    if (!listed) throw new SignerError('wrong-usage', `no entry ${id}`);
    const changed = { ...listed, lifted };
    this.#listed.set(id, changed);
    this.#changed();
    return changed;
  }

  #tell(listed: ListedDistrust): void {
    for (const listener of this.#listeners) listener(listed);
  }

  /** Whatever was computed holds no longer. */
  #changed(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }
}

const sameEntry = (a: ListedDistrust, b: ListedDistrust): boolean =>
  JSON.stringify(recordOf(a.entry, a.set)) === JSON.stringify(recordOf(b.entry, a.set));

function recordOf({ id, subject, tci, from, issuedAfter }: DistrustEntry, by: DistrustAct): AuditRecord {
  return {
    event: 'distrust-set',
    id,
    subject: subject.kind === 'issuer' ? { kind: 'issuer', name: hex(subject.name) } : subject,
    ...(tci !== undefined && { trustContext: tci }),
    ...(from && { from: from.getTime() }),
    ...(issuedAfter && { issuedAfter: issuedAfter.getTime() }),
    act: by,
  };
}

function listedOf({
  id,
  subject: written,
  trustContext,
  from,
  issuedAfter,
  act: set,
}: z.output<typeof setRecord>): ListedDistrust {
  const subject: DistrustSubject =
    written.kind === 'issuer' ? { kind: 'issuer', name: Buffer.from(written.name, 'hex') } : written;
  // A name that cannot be read would be found out with every chain.
  if (subject.kind === 'issuer') nameKey(subject.name);
  return {
    entry: {
      id,
      subject,
      ...(trustContext !== undefined && { tci: trustContext }),
      ...(from !== undefined && { from: new Date(from) }),
      ...(issuedAfter !== undefined && { issuedAfter: new Date(issuedAfter) }),
    },
    set,
  };
}
