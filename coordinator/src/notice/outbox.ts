/**
 * What has to be delivered, in the coordinators' database: put there by the transaction that gives the reason, taken
 * out under a lease by whichever coordinator is first, and kept until it is sent, dropped by an operator, or dead.
 *
 * A coordinator that dies leaves at most what it had in flight; when the lease ends another tries that again, under
 * the same id, so that the recipient can tell.
 */
import type { Database, Row, Statements } from '@mecai/database';
import { type Medium, type Recipient, mediumOf } from './recipient.ts';

export const deliveryStates = ['waiting', 'sent', 'dead', 'bounced', 'dropped'] as const;
/** `dead`: refused for good, or tried for too long. Dead and bounced ones are the dead-letter list. */
export type DeliveryState = (typeof deliveryStates)[number];

/** Those of which there should be few. */
export type OpenState = Extract<DeliveryState, 'waiting' | 'dead' | 'bounced'>;

export interface Delivery {
  /** 32 hexadecimal digits: Message-ID, return path and webhook calls have it. */
  readonly id: string;
  readonly medium: Medium;
  readonly recipient: Recipient;
  /** How the recipient was found. */
  readonly source: string;
  readonly kind: 'notice' | 'letter' | 'call';
  /** Id of a notice or letter, or a transaction number. */
  readonly about: string;
  readonly state: DeliveryState;
  /** Milliseconds since 1970, as are the other times. */
  readonly enqueuedAt: number;
  readonly tries: number;
  readonly nextAt: number;
  readonly settledAt: number | null;
  /** Of the last try: words of a mail server, or what went wrong. */
  readonly detail: string;
}

export interface Claimed {
  readonly delivery: Delivery;
  readonly lease: string;
}

export type NewDelivery = Pick<Delivery, 'id' | 'recipient' | 'source' | 'kind' | 'about'> & {
  /** Lower goes first. */
  readonly rank: number;
};

const columns = `id, medium, recipient, source, kind, about, state, enqueued_at, tries, next_at, settled_at, detail`;

/** Once for each thing and recipient; the second is nothing. */
export async function addDelivery(statements: Statements, delivery: NewDelivery, now: number): Promise<void> {
  const { id, recipient, source, kind, about, rank } = delivery;
  await statements.query(
    `insert into delivery (id, medium, recipient, source, kind, about, rank, state, enqueued_at, tries, next_at,
       leased_until, lease, settled_at, detail)
     values ($1, $2, $3, $4, $5, $6, $7, 'waiting', $8, 0, $8, 0, '', null, '')
     on conflict (kind, about, recipient) do nothing`,
    [id, mediumOf(recipient), recipient, source, kind, about, rank, now],
  );
}

/** Takes what is due, at most `count`; nobody else does until `now + leaseMs`. */
export async function claimDeliveries(
  database: Database,
  { medium, count, lease, leaseMs, now }: Claim & { readonly medium: Medium; readonly count: number },
): Promise<Claimed[]> {
  // Looked at again in the outer condition: on Postgres two may have chosen the same row.
  const rows = await database.query(
    `update delivery set leased_until = $1, lease = $2, tries = tries + 1
     where id in (
         select id from delivery where state = 'waiting' and medium = $3 and next_at <= $4 and leased_until <= $4
         order by next_at, rank limit $5)
       and state = 'waiting' and leased_until <= $4
     returning ${columns}`,
    [now + leaseMs, lease, medium, now, count],
  );
  return rows.map((row) => ({ delivery: readDelivery(row), lease }));
}

export interface Claim {
  /** Nobody else's. */
  readonly lease: string;
  readonly leaseMs: number;
  readonly now: number;
}

/** Nobody else takes it until `now + leaseMs`, unless the lease was lost already. */
export async function renewDelivery(
  database: Database,
  { delivery, lease }: Claimed,
  { leaseMs, now }: Pick<Claim, 'leaseMs' | 'now'>,
): Promise<void> {
  await database.query('update delivery set leased_until = $1 where id = $2 and lease = $3', [
    now + leaseMs,
    delivery.id,
    lease,
  ]);
}

/** @returns false where the lease was lost, and somebody else's word holds */
export async function settleDelivery(
  database: Database,
  { delivery, lease }: Claimed,
  state: 'sent' | 'dead',
  detail: string,
  now: number,
): Promise<boolean> {
  const rows = await database.query(
    `update delivery set state = $1, detail = $2, settled_at = $3, leased_until = 0, lease = ''
     where id = $4 and lease = $5 and state = 'waiting' returning id`,
    [state, detail, now, delivery.id, lease],
  );
  return rows.length === 1;
}

/** The try came to nothing; there will be another. */
export async function postponeDelivery(
  database: Database,
  { delivery, lease }: Claimed,
  nextAt: number,
  detail: string,
): Promise<void> {
  await database.query(
    `update delivery set next_at = $1, detail = $2, leased_until = 0, lease = '' where id = $3 and lease = $4`,
    [nextAt, detail, delivery.id, lease],
  );
}

/** A bounce has come for what was sent. @returns false for one that is not known, or was not sent */
export async function bounceDelivery(
  database: Database,
  id: string,
  detail: string,
  now: number,
): Promise<boolean> {
  const rows = await database.query(
    `update delivery set state = 'bounced', detail = $1, settled_at = $2
     where id = $3 and state = 'sent' returning id`,
    [detail, now, id],
  );
  return rows.length === 1;
}

/** For operators: what waits is tried at once, what is dead or bounced anew. */
export async function retryDelivery(database: Database, id: string, now: number): Promise<boolean> {
  const rows = await database.query(
    `update delivery set state = 'waiting', tries = 0, enqueued_at = $1, next_at = $1, settled_at = null
     where id = $2 and state in ('waiting', 'dead', 'bounced') returning id`,
    [now, id],
  );
  return rows.length === 1;
}

/** For operators: it is not tried again. */
export async function dropDelivery(database: Database, id: string, now: number): Promise<boolean> {
  const rows = await database.query(
    `update delivery set state = 'dropped', settled_at = $1
     where id = $2 and state in ('waiting', 'dead', 'bounced') returning id`,
    [now, id],
  );
  return rows.length === 1;
}

/** Those in one of these states, the newest first. */
export async function listDeliveries(
  database: Database,
  states: readonly DeliveryState[],
  limit: number,
): Promise<Delivery[]> {
  const rows = await database.query(
    `select ${columns} from delivery where state in ($1, $2, $3, $4, $5) order by enqueued_at desc, id limit $6`,
    [...deliveryStates.map((state) => (states.includes(state) ? state : '')), limit],
  );
  return rows.map(readDelivery);
}

/** All that was or is to be delivered about one thing, in the order in which it goes. */
export async function deliveriesAbout(
  database: Statements,
  kind: Delivery['kind'],
  about: string,
): Promise<Delivery[]> {
  const rows = await database.query(
    `select ${columns} from delivery where kind = $1 and about = $2 order by rank, recipient`,
    [kind, about],
  );
  return rows.map(readDelivery);
}

/** How many there are in each state that somebody may want to do something about. */
export async function countDeliveries(database: Database): Promise<Record<OpenState, number>> {
  const rows = await database.query<{ state: OpenState; count: number }>(
    `select state, count(*) as count from delivery where state in ('waiting', 'dead', 'bounced') group by state`,
  );
  const counts = { waiting: 0, dead: 0, bounced: 0 };
  for (const { state, count } of rows) counts[state] = count;
  return counts;
}

function readDelivery(row: Row): Delivery {
  const { enqueued_at, next_at, settled_at, ...rest } = row;
  return { ...rest, enqueuedAt: enqueued_at, nextAt: next_at, settledAt: settled_at } as unknown as Delivery;
}
