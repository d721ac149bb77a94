/** Who asked to be told of certificates for a domain and every name under it, and proved to control it. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Database, Statements } from '@mecai/database';
import { parent } from '../dns/caa.ts';
import type { DnsClient } from '../dns/dns-client.ts';
import type { Recipient } from './recipient.ts';

export interface Subscription {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly domain: string;
  readonly recipient: Recipient;
  /** Milliseconds since 1970. */
  readonly confirmedAt: number;
}

export interface SubscriptionsParts {
  readonly database: Database;
  readonly dns: Pick<DnsClient, 'txt'>;
  /** Known to every coordinator and to nobody else: challenges and tokens are made from it and stored nowhere. */
  readonly secret: Uint8Array;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 32 hexadecimal digits. */
  readonly newId: () => string;
}

export interface Challenge {
  /** Where the TXT record is to be. */
  readonly name: string;
  readonly value: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** A record that the domain publishes, so that only who controls its DNS can subscribe. */
const challengeLabel = '_mecai-notice';
const challengeLasts = 7 * 86_400_000;
/** Of one domain: whoever controls it, a mail for each certificate goes to all of them. */
const maxOfDomain = 20;

export class Subscriptions {
  readonly #parts: SubscriptionsParts;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  /** Stores nothing: the value carries when it expires, and only we can make it. */
  challenge(domain: string, recipient: Recipient): Challenge {
    return this.#challenge(domain, recipient, this.#parts.now() + challengeLasts);
  }

  /**
   * @returns the subscription and its token, or why there is none
   * @throws CoordinatorError `dns-failed`; DatabaseError
   */
  async confirm(
    domain: string,
    recipient: Recipient,
    expires: number,
  ): Promise<{ subscription: Subscription; token: string } | 'expired' | 'not-proven' | 'too-many'> {
    const { dns, database, now, newId } = this.#parts;
    if (expires <= now() || expires > now() + challengeLasts) return 'expired';
    const { name, value } = this.#challenge(domain, recipient, expires);
    if (!(await dns.txt(name)).includes(value)) return 'not-proven';
    const id = newId();
    const confirmedAt = now();
    const subscription = await database.transaction(async (statements) => {
      const there = await ofDomain(statements, domain);
      const same = there.find((one) => one.recipient === recipient);
      if (same || there.length >= maxOfDomain) return same;
      await statements.query(
        'insert into subscription (id, domain, recipient, confirmed_at) values ($1, $2, $3, $4)',
        [id, domain, recipient, confirmedAt],
      );
      return { id, domain, recipient, confirmedAt };
    });
    return subscription ? { subscription, token: this.token(subscription.id) } : 'too-many';
  }

  /** What its holder shows to see and to end subscriptions: the id, and a MAC that only we can make. */
  token(id: string): string {
    return `${id}.${this.#mac(`subscription ${id}`)}`;
  }

  /** All subscriptions of the domain that the token was given for, or undefined for a token that is none. */
  async list(token: string): Promise<Subscription[] | undefined> {
    const { database } = this.#parts;
    const own = await this.#find(token);
    return own && ofDomain(database, own.domain);
  }

  /** Ends the token's own subscription, or another of its domain. @returns whether there was one */
  async cancel(token: string, id?: string): Promise<boolean> {
    const own = await this.#find(token);
    if (!own) return false;
    const rows = await this.#parts.database.query(
      'delete from subscription where id = $1 and domain = $2 returning id',
      [id ?? own.id, own.domain],
    );
    return rows.length === 1;
  }

  /**
   * What goes into a mail to a subscriber: ends this one subscription and does nothing else, since the mailbox need
   * not be the domain owner's.
   *
   * @param names of the certificate that the mail is about
   */
  async unsubscribeToken(recipient: Recipient, names: readonly string[]): Promise<string | undefined> {
    const rows = await this.#parts.database.query(
      `select ${columns} from subscription where recipient = $1 order by confirmed_at, id`,
      [recipient],
    );
    const covers = ({ domain }: Subscription) => names.some((name) => `.${name}`.endsWith(`.${domain}`));
    const subscription = rows.map(read).find(covers);
    return subscription && this.#unsubscribeToken(subscription.id);
  }

  /** @returns whether there was one */
  async unsubscribe(token: string): Promise<boolean> {
    const [id = ''] = token.split('.', 1);
    if (!sameText(token, this.#unsubscribeToken(id))) return false;
    const rows = await this.#parts.database.query('delete from subscription where id = $1 returning id', [
      id,
    ]);
    return rows.length === 1;
  }

  #unsubscribeToken(id: string): string {
    return `${id}.${this.#mac(`unsubscribe ${id}`)}`;
  }

  async #find(token: string): Promise<Subscription | undefined> {
    const [id = ''] = token.split('.', 1);
    if (!sameText(token, this.token(id))) return undefined;
    const rows = await this.#parts.database.query(`select ${columns} from subscription where id = $1`, [id]);
    return rows.map(read)[0];
  }

  #challenge(domain: string, recipient: Recipient, expires: number): Challenge {
    const value = `mecai-notice=${this.#mac(`challenge ${expires} ${domain} ${recipient}`)}`;
    return { name: `${challengeLabel}.${domain}`, value, expires };
  }

  #mac(text: string): string {
    return createHmac('sha256', this.#parts.secret).update(text).digest('base64url');
  }
}

/** Subscribers to any of these names or to a domain above it, each once. */
export async function subscribersTo(statements: Statements, names: Iterable<string>): Promise<Recipient[]> {
  const domains = new Set<string>();
  for (const name of names) for (let at = name; at !== ''; at = parent(at)) domains.add(at);
  const recipients = new Set<Recipient>();
  // One text for any number of names: statements are prepared once and kept.
  const list = [...domains];
  for (let from = 0; from < list.length; from += batch) {
    const some = Array.from({ length: batch }, (_, i) => list[from + i] ?? '');
    const rows = await statements.query<{ recipient: string }>(ofDomains, some);
    for (const { recipient } of rows) recipients.add(recipient);
  }
  return [...recipients];
}

const batch = 32;
const ofDomains = `select recipient from subscription where domain in (${Array.from({ length: batch }, (_, i) => `$${i + 1}`).join(', ')}) order by confirmed_at`;
const columns = 'id, domain, recipient, confirmed_at as confirmed';

async function ofDomain(statements: Statements, domain: string): Promise<Subscription[]> {
  const rows = await statements.query(
    `select ${columns} from subscription where domain = $1 order by confirmed_at, id`,
    [domain],
  );
  return rows.map(read);
}

function read(row: object): Subscription {
  const { id, domain, recipient, confirmed } = row as Subscription & { confirmed: number };
  return { id, domain, recipient, confirmedAt: confirmed };
}

/** In a time that does not tell where they differ. */
export function sameText(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
