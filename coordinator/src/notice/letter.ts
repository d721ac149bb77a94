/** Signed mails about anything else, such as an objection, for which the caller has the words. */
import type { Statements } from '@mecai/database';
import { addDelivery } from './outbox.ts';
import { mailAddress } from './recipient.ts';

export interface Letter {
  /** The same letter has the same id: the second is nothing. */
  readonly id: string;
  readonly subject: string;
  readonly text: string;
  /** What is not plainly an address is passed over. */
  readonly to: readonly string[];
}

/**
 * Puts a letter into the outbox, once for each recipient, in the caller's transaction.
 *
 * @param newId 32 hexadecimal digits
 * @param now milliseconds since 1970
 * @throws DatabaseError
 */
export async function enqueueLetter(
  statements: Statements,
  { id, subject, text, to }: Letter,
  newId: () => string,
  now: number,
): Promise<void> {
  await statements.query(
    'insert into letter (id, subject, content, enqueued_at) values ($1, $2, $3, $4) on conflict (id) do nothing',
    [id, subject, text, now],
  );
  for (const address of to.flatMap((one) => mailAddress(one) ?? [])) {
    const delivery = {
      id: newId(),
      recipient: `mailto:${address}`,
      source: 'letter',
      kind: 'letter',
    } as const;
    await addDelivery(statements, { ...delivery, about: id, rank: 0 }, now);
  }
}
