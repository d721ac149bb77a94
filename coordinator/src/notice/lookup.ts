/** Finds whom to tell of a notice: subscribers first, then CAA `iodef`, then the registry's contacts. */
import { randomUUID } from 'node:crypto';
import type { Database } from '@mecai/database';
import type { Logger } from '@mecai/runtime';
import { iodefUrls, relevantCaa } from '../dns/caa.ts';
import type { DnsClient } from '../dns/dns-client.ts';
import { CoordinatorError } from '../error.ts';
import { type RdapClient, registeredDomain } from '../rdap/rdap-client.ts';
import { whileLeased } from './lease.ts';
import { addDelivery } from './outbox.ts';
import { type Recipient, iodefRecipients } from './recipient.ts';
import { type RetryPolicy, backoffMs } from './retry.ts';
import { subscribersTo } from './subscriptions.ts';

export const contactSources = ['subscription', 'caa', 'rdap'] as const;
export type ContactSource = (typeof contactSources)[number];
/** Other people's servers, in the order in which their contacts are told. */
const outside = ['caa', 'rdap'] as const;
type Outside = (typeof outside)[number];

export interface LookupParts {
  readonly database: Database;
  readonly sources: readonly ContactSource[];
  readonly dns: Pick<DnsClient, 'caa'>;
  readonly rdap: Pick<RdapClient, 'contacts'>;
  readonly retry: RetryPolicy;
  /** How long what was begun when a coordinator was killed waits for another, milliseconds. */
  readonly leaseMs: number;
  readonly log: Logger;
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
  /** 32 hexadecimal digits. */
  readonly newId: () => string;
}

type Pending = readonly [name: string, tries: number];

/** Names looked up before others get their turn: a certificate may have 2,000, on servers that hang. */
const namesAtOnce = 24;
const concurrency = 6;
/** A name is given up after so many tries, some hours with the default waits. */
const maxTries = 8;
/** One whose servers hang does not hold up the others. */
const noticesAtOnce = 8;

interface Leased {
  readonly id: string;
  readonly names: string;
  readonly failed: string;
  readonly lease: string;
}

/**
 * Looks up contacts for some names of the notices that have waited longest.
 *
 * Every name counts, the last one too: a certificate for a thousand domains may be forged for the sake of one.
 *
 * @param done one of them is ready to be sent
 * @returns whether there was a notice
 * @throws DatabaseError
 */
export async function lookupRound(parts: LookupParts, done: () => void = () => undefined): Promise<boolean> {
  const { database, leaseMs, now } = parts;
  const lease = randomUUID();
  const rows = await database.query<{ id: string; names: string; failed: string }>(
    `update notice set leased_until = $1, lease = $2
     where id in (select id from notice where next_at <= $3 and leased_until <= $3 order by next_at limit $4)
       and leased_until <= $3
     returning id, names, failed`,
    [now() + leaseMs, lease, now(), noticesAtOnce],
  );
  const renew = (id: string) =>
    database.query('update notice set leased_until = $1 where id = $2 and lease = $3', [
      now() + leaseMs,
      id,
      lease,
    ]);
  await Promise.all(
    rows.map(async (row) => {
      await whileLeased(
        leaseMs,
        () => renew(row.id),
        () => lookUpSome(parts, { ...row, lease }),
      );
      done();
    }),
  );
  return rows.length > 0;
}

async function lookUpSome(parts: LookupParts, { id, lease, ...row }: Leased): Promise<void> {
  const pending: Pending[] = JSON.parse(row.names);
  const failed: string[] = JSON.parse(row.failed);
  const found: Found = { caa: new Set(), rdap: new Set() };
  if (pending.every(([, tries]) => tries === 0) && failed.length === 0)
    await tellSubscribers(parts, id, pending);
  const turn = pending.slice(0, namesAtOnce);
  const again: Pending[] = [];
  await inParallel(turn, async ([name, tries]) => {
    const problems = await lookUp(parts, name, found);
    if (problems.length === 0) return;
    const given = tries + 1 >= maxTries;
    parts.log[given ? 'warn' : 'info']({ notice: id, name, problems, given }, 'contacts not found out');
    if (given) failed.push(name);
    else again.push([name, tries + 1]);
  });
  const left = [...pending.slice(namesAtOnce), ...again];
  await finish(parts, { id, lease, left, failed }, found);
}

type Found = Readonly<Record<Outside, Set<Recipient>>>;

/** At once: they are in our own tables, and need not wait for other people's servers. */
async function tellSubscribers(
  { database, sources, now, newId }: LookupParts,
  about: string,
  pending: readonly Pending[],
): Promise<void> {
  if (!sources.includes('subscription')) return;
  const subscribers = await subscribersTo(
    database,
    pending.map(([name]) => name),
  );
  const at = now();
  for (const recipient of subscribers) {
    const found = { id: newId(), recipient, source: 'subscription', rank: 0 } as const;
    await addDelivery(database, { ...found, kind: 'notice', about }, at);
  }
}

async function finish(
  { database, log, now, random, retry, newId }: LookupParts,
  {
    id,
    lease,
    left,
    failed,
  }: { id: string; lease: string; left: readonly Pending[]; failed: readonly string[] },
  found: Found,
): Promise<void> {
  const at = now();
  const tries = Math.min(...left.map(([, count]) => count));
  const nextAt = left.length === 0 ? null : at + (tries === 0 ? 0 : backoffMs(retry, tries, random()));
  const deliveries = outside.flatMap((source, rank) =>
    [...found[source]].map(
      (recipient) => ({ id: newId(), recipient, source, rank: rank + 1, kind: 'notice', about: id }) as const,
    ),
  );
  const told = await database.transaction(async (statements) => {
    const ours = await statements.query(
      `update notice set names = $1, failed = $2, next_at = $3, leased_until = 0, lease = ''
       where id = $4 and lease = $5 returning id`,
      [JSON.stringify(left), JSON.stringify(failed), nextAt, id, lease],
    );
    if (ours.length === 0) return undefined;
    for (const delivery of deliveries) await addDelivery(statements, delivery, at);
    const [{ count } = { count: 0 }] = await statements.query<{ count: number }>(
      `select count(*) as count from delivery where kind = 'notice' and about = $1`,
      [id],
    );
    return count;
  });
  if (told === 0 && nextAt === null) log.warn({ notice: id }, 'nobody is known who could be told');
}

/** @returns what could not be found out */
async function lookUp({ sources, dns, rdap }: LookupParts, name: string, found: Found): Promise<string[]> {
  const problems: string[] = [];
  const attempt = async (source: Outside, find: () => Promise<readonly Recipient[]>) => {
    if (!sources.includes(source)) return;
    try {
      for (const recipient of await find()) found[source].add(recipient);
    } catch (error) {
      if (!(error instanceof CoordinatorError)) throw error;
      problems.push(`${source}: ${error.message}`);
    }
  };
  await attempt('caa', async () =>
    iodefUrls(await relevantCaa(dns, name))
      .slice(0, maxIodef)
      .flatMap(iodefRecipients),
  );
  await attempt('rdap', async () => {
    const domain = registeredDomain(name);
    return domain === undefined
      ? []
      : (await rdap.contacts(domain)).mail.map((address) => `mailto:${address}`);
  });
  return problems;
}

/** Of one record set. */
const maxIodef = 10;

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
