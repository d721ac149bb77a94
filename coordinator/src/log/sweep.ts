/** What time does to the log: holds end, certificates expire, and are forgotten. */
import type { Database, Statements } from '@mecai/database';

export interface SweepParts {
  readonly database: Database;
  /** How long what has expired is kept, milliseconds. */
  readonly keepExpiredMs: number;
}

export interface Swept {
  readonly cleared: number;
  readonly expired: number;
  readonly forgotten: number;
}

/** Certificates in one transaction. */
const batch = 500;
/** Milliseconds after which another coordinator takes over from one that died over it. */
const leaseMs = 60_000;

/**
 * One coordinator at a time; the others would only stand in its way.
 *
 * @param now milliseconds since 1970
 * @returns undefined where another is at it
 * @throws DatabaseError
 */
export async function sweep(parts: SweepParts, now: number): Promise<Swept | undefined> {
  const { database } = parts;
  const until = now + leaseMs;
  const leased = await database.query(
    'update sweep set leased_until = $1 where leased_until <= $2 returning leased_until',
    [until, now],
  );
  if (leased.length === 0) return undefined;
  try {
    return await sweepAll(parts, now);
  } finally {
    await database.query('update sweep set leased_until = 0 where leased_until = $1', [until]);
  }
}

async function sweepAll({ database, keepExpiredMs }: SweepParts, now: number): Promise<Swept> {
  const inBatches = async (work: (statements: Statements) => Promise<number>) => {
    for (let total = 0; ; ) {
      const done = await database.transaction(work);
      total += done;
      if (done < batch) return total;
    }
  };
  return {
    cleared: await inBatches((statements) => move(statements, holdEnded, 'cleared', 'hold-ended', now)),
    expired: await inBatches((statements) => move(statements, hasExpired, 'expired', 'expired', now)),
    forgotten: await inBatches((statements) => forget(statements, now - keepExpiredMs)),
  };
}

// Ordered all the way: both statements of a transaction speak of the same certificates.
const holdEnded = `select sha256 from certificate where state = 'held' and hold_until <= $1
  order by hold_until, sha256 limit ${batch}`;
const hasExpired = `select sha256 from certificate where state <> 'expired' and not_after <= $1
  order by not_after, sha256 limit ${batch}`;
const longExpired = `select sha256 from certificate where state = 'expired' and not_after <= $1
  order by not_after, sha256 limit ${batch}`;

async function move(
  statements: Statements,
  which: string,
  state: 'cleared' | 'expired',
  event: 'hold-ended' | 'expired',
  now: number,
): Promise<number> {
  const written = await statements.query(
    `insert into certificate_event (sha256, number, at, kind, detail)
       select sha256, events + 1, $1, '${event}', '{}' from certificate where sha256 in (${which})
     returning number`,
    [now],
  );
  if (written.length > 0) {
    await statements.query(
      `update certificate set state = '${state}', events = events + 1 where sha256 in (${which})`,
      [now],
    );
  }
  return written.length;
}

/** @param before when they expired, milliseconds since 1970 */
async function forget(statements: Statements, before: number): Promise<number> {
  for (const table of ['certificate_event', 'certificate_endpoint', 'certificate_name', 'certificate_der']) {
    await statements.query(`delete from ${table} where sha256 in (${longExpired})`, [before]);
  }
  await statements.query(`delete from successor where current in (${longExpired})`, [before]);
  await statements.query(`delete from endorsement where sha256 in (${longExpired})`, [before]);
  const gone = await statements.query(
    `delete from certificate where sha256 in (${longExpired}) returning sha256`,
    [before],
  );
  return gone.length;
}
