import type { Database } from '@mecai/database';
import { insertEvents } from './events.ts';
import type { ReadStatement } from './statements.ts';

/**
 * Keeps what the holder of a cleared certificate's key declares: that another certificate, or key, will follow.
 *
 * @param now milliseconds since 1970; only what is seen for the first time later profits
 * @returns false where the statement is not of a key that vouchers are issued for
 * @throws DatabaseError
 */
export async function declareSuccessor(
  database: Database,
  { statement, signedBy }: ReadStatement,
  cms: Uint8Array,
  now: number,
): Promise<boolean> {
  if (statement.type !== 'mecai-successor') return false;
  const current = Buffer.from(statement.current, 'hex');
  const [known] = await database.query<{ der: Uint8Array }>(
    'select der from certificate_der where sha256 = $1',
    [current],
  );
  if (!known || !(await signedBy(known.der))) return false;
  return database.transaction(async (statements) => {
    const [row] = await statements.query<{ events: number }>(
      `select events from certificate where sha256 = $1 and state = 'cleared' and not_after > $2`,
      [current, now],
    );
    if (!row) return false;
    const fresh = await statements.query(
      `insert into successor (successor, current, declared_at, statement) values ($1, $2, $3, $4)
       on conflict (successor, current) do nothing returning declared_at`,
      [Buffer.from(statement.successor, 'hex'), current, now, cms],
    );
    if (fresh.length === 0) return true;
    await statements.query('update certificate set events = events + 1 where sha256 = $1', [current]);
    await insertEvents(statements, current, row.events, now, [
      { kind: 'successor-declared', detail: { successor: statement.successor } },
    ]);
    return true;
  });
}
