/**
 * What the signers distrust, for this coordinator: its own signer's list as the signer tells it, those of other
 * signers from the database that all coordinators share. The signer enforces the list; the copy refuses early.
 */
import type { Database, Statements } from '@mecai/database';
import type { DistrustEntry } from '@mecai/pki';
import { distrustEntry } from '@mecai/proto/distrust';
import { DistrustRecord } from '@mecai/proto/signer';

interface Stored {
  readonly signer: string;
  readonly id: string;
  readonly record: Uint8Array;
  [column: string]: string | number | Uint8Array | null;
}

export class DistrustCopy {
  readonly #signer: string;
  readonly #database: () => Database;
  /** As the signer tells it, by id. */
  #own = new Map<string, DistrustRecord>();
  /** What has arrived of a list that is not complete yet. */
  #arriving = new Map<string, DistrustRecord>();
  #others: readonly DistrustRecord[] = [];
  #entries: readonly DistrustEntry[] = [];
  #unsaved = false;
  #version = -1;
  #busy: Promise<unknown> = Promise.resolve();

  /**
   * @param signer SPIFFE ID
   * @param database throws while it is away
   */
  constructor(signer: string, database: () => Database) {
    this.#signer = signer;
    this.#database = database;
  }

  /** Those that stand, each once; the same array until something changes. */
  get entries(): readonly DistrustEntry[] {
    return this.#entries;
  }

  /** The signer begins anew with the whole list. */
  begin(): void {
    this.#arriving = new Map();
  }

  /** @param complete the whole list has arrived */
  learn(records: readonly DistrustRecord[], complete: boolean): void {
    for (const record of records) {
      this.#arriving.set(record.id, record);
      this.#own.set(record.id, record);
    }
    if (complete) this.#own = this.#arriving;
    // From then on there are changes only, to the one list.
    if (complete || this.#own === this.#arriving) this.#unsaved = true;
    this.#renew();
  }

  /**
   * Brings the database and this copy to the same state.
   *
   * @throws DatabaseError, CoordinatorError `database-unavailable`
   */
  synchronize(): Promise<void> {
    const turn = this.#busy.then(() => this.#synchronize());
    this.#busy = turn.catch(() => undefined);
    return turn;
  }

  async #synchronize(): Promise<void> {
    const database = this.#database();
    if (this.#unsaved) {
      this.#unsaved = false;
      const own = [...this.#own.values()];
      try {
        await database.transaction((statements) => save(statements, this.#signer, own));
      } catch (error) {
        this.#unsaved = true;
        throw error;
      }
    }
    const [version] = await database.query<{ number: number }>('select number from distrust_version');
    if (version!.number === this.#version) return;
    const rows = await database.query<Stored>(
      'select signer, id, record from distrust where signer <> $1 and lifted_at is null order by set_at, id',
      [this.#signer],
    );
    this.#others = rows.map(({ record }) => DistrustRecord.decode(record));
    this.#version = version!.number;
    this.#renew();
  }

  #renew(): void {
    const standing = [...this.#own.values(), ...this.#others].filter(({ lifted }) => !lifted);
    const entries = standing.flatMap(({ id, distrust, set }): [string, DistrustEntry][] => {
      const entry = distrustEntry(id, distrust);
      return entry ? [[id, { ...entry, ...(set && { reason: set.reason }) }]] : [];
    });
    // Set on several signers by one command, it has one id.
    this.#entries = [...new Map(entries.toReversed()).values()].toReversed();
  }
}

/** All that one signer says, and nothing else in its name. What was lifted stays so: news may overtake each other. */
async function save(
  statements: Statements,
  signer: string,
  records: readonly DistrustRecord[],
): Promise<void> {
  const stored = await statements.query<Stored>('select signer, id, record from distrust where signer = $1', [
    signer,
  ]);
  const known = new Map(stored.map((one) => [one.id, one.record]));
  let changed = false;
  for (const one of records) {
    const record = DistrustRecord.encode(one).finish();
    const before = known.get(one.id);
    known.delete(one.id);
    if (before && (Buffer.compare(before, record) === 0 || (isLifted(before) && !one.lifted))) continue;
    changed = true;
    await statements.query(
      `insert into distrust (signer, id, record, reason, author, set_at, lifted_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (signer, id) do update set record = excluded.record, lifted_at = excluded.lifted_at`,
      [
        signer,
        one.id,
        record,
        one.set?.reason ?? '',
        one.set?.author ?? '',
        one.set?.at ?? 0,
        one.lifted?.at ?? null,
      ],
    );
  }
  for (const id of known.keys()) {
    changed = true;
    await statements.query('delete from distrust where signer = $1 and id = $2', [signer, id]);
  }
  if (changed) await statements.query('update distrust_version set number = number + 1');
}

const isLifted = (record: Uint8Array): boolean => DistrustRecord.decode(record).lifted !== undefined;
