/**
 * Approval out of band: the contacts that the registry lists are called, told a transaction number and a code, and
 * one of them for each domain enters both. Whoever sits next to the server, and got a certificate by that, does not
 * sit next to the telephone.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Database, Statements } from '@mecai/database';
import type { Endorsement } from '../log/endorsements.ts';
import { CoordinatorError } from '../error.ts';
import type { Identity } from '../mail/identity.ts';
import { addDelivery } from '../notice/outbox.ts';
import { type RdapClient, registeredDomain } from '../rdap/rdap-client.ts';
import { type CertificateRequest, readCertificateRequest } from './certificate-request.ts';
import { type Call, callSheet } from './call-sheet.ts';
import { approvalCode, transactionNumber } from './codes.ts';
import { signApproval } from './statement.ts';

export interface ApprovalsParts {
  readonly database: Database;
  readonly rdap: Pick<RdapClient, 'contacts'>;
  readonly identity: Identity;
  /** Known to every coordinator and to nobody else. */
  readonly secret: Uint8Array;
  /** Where this voucher authority is reached, without a final slash. */
  readonly publicUrl: string;
  /** How long a transaction lasts, milliseconds. */
  readonly lastsMs: number;
  /** Wrong codes until a transaction ends. */
  readonly maxTries: number;
  /** Calls of each contact of a domain in a day, whoever asks. */
  readonly perDomainAndDay: number;
  /** Calls go to a telephony provider through the outbox; else an operator makes them. */
  readonly automatic: boolean;
  /** Records an approval of a certificate, or of a key that a CSR is for: it may end a hold. */
  readonly endorse: (statements: Statements, endorsement: Endorsement) => Promise<void>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** From 0 to below. */
  readonly randomInteger: (below: number) => number;
  /** 32 hexadecimal digits. */
  readonly newId: () => string;
}

export interface Transaction {
  readonly number: string;
  readonly request: CertificateRequest;
  readonly domains: readonly { readonly domain: string; readonly approvedAt: number | null }[];
  /** Milliseconds since 1970. */
  readonly openedAt: number;
  readonly expiresAt: number;
  readonly state: 'open' | 'approved' | 'expired' | 'locked';
  /** CMS; see statement.ts. */
  readonly statement?: Uint8Array;
}

/** Of one request: somebody has to call them all. */
const maxDomains = 10;
const day = 86_400_000;

export class Approvals {
  readonly #parts: ApprovalsParts;

  constructor(parts: ApprovalsParts) {
    this.#parts = parts;
  }

  /**
   * Begins a transaction and has the calls made.
   *
   * @param bytes certificate or CSR, PEM or DER
   * @returns its number
   * @throws CoordinatorError `bad-request` with the reason, `rdap-failed`; DatabaseError
   */
  async open(bytes: Uint8Array): Promise<string> {
    const { database, lastsMs, perDomainAndDay, automatic, now, randomInteger, newId } = this.#parts;
    const request = await readCertificateRequest(bytes);
    const calls = await this.#contacts(request);
    const number = transactionNumber(randomInteger);
    const at = now();
    await database.transaction(async (statements) => {
      for (const { domain, phones } of calls) {
        const [row] = await statements.query<{ count: number }>(
          `select count(*) as count from approval_domain join approval using (number)
           where domain = $1 and opened_at > $2`,
          [domain, at - day],
        );
        if (row!.count >= perDomainAndDay) {
          throw refused(`the contacts of ${domain} have been called often enough for a day`);
        }
        await statements.query('insert into approval_domain (number, domain) values ($1, $2)', [
          number,
          domain,
        ]);
        for (const recipient of automatic ? phones : []) {
          const about = `${number} ${domain}`;
          await addDelivery(
            statements,
            { id: newId(), recipient, source: 'rdap', kind: 'call', about, rank: 0 },
            at,
          );
        }
      }
      await statements.query(
        'insert into approval (number, der, opened_at, expires_at, tries) values ($1, $2, $3, $4, 0)',
        [number, request.der, at, at + lastsMs],
      );
    });
    return number;
  }

  /** @throws DatabaseError */
  async find(number: string): Promise<Transaction | undefined> {
    return findTransaction(this.#parts.database, this.#parts, number);
  }

  /**
   * What an operator reads out, and to whom; empty where nothing is to be said any more, or a provider calls.
   *
   * @throws CoordinatorError `rdap-failed`; DatabaseError
   */
  async callSheet(number: string): Promise<string> {
    const calls = this.#parts.automatic ? [] : await this.calls(number);
    return calls.length === 0 ? '' : callSheet(number, calls, this.#parts.publicUrl);
  }

  /** Whom to call and what to say while it is open. @throws CoordinatorError `rdap-failed`; DatabaseError */
  async calls(number: string): Promise<Call[]> {
    const transaction = await this.find(number);
    return transaction?.state === 'open' ? this.#contacts(transaction.request, number) : [];
  }

  /**
   * Takes a code. It is compared with that of every domain, in a time that tells nothing; a wrong one is counted
   * before it is looked at, so that many at once are no more tries than one after the other.
   *
   * @throws DatabaseError
   */
  async approve(number: string, code: string): Promise<'approved' | 'more' | 'wrong' | 'closed'> {
    const { database, secret, maxTries, now } = this.#parts;
    const at = now();
    const counted = await database.query(
      `update approval set tries = tries + 1
       where number = $1 and statement is null and expires_at > $2 and tries < $3 returning number`,
      [number, at, maxTries],
    );
    if (counted.length === 0) return 'closed';
    const transaction = await this.find(number);
    const right = (transaction?.domains ?? []).filter(({ domain }) =>
      sameCode(code, approvalCode(secret, number, domain)),
    );
    if (!transaction || right.length === 0) return 'wrong';
    return database.transaction(async (statements) => {
      await statements.query('update approval set tries = tries - 1 where number = $1', [number]);
      for (const { domain } of right) {
        await statements.query(
          'update approval_domain set approved_at = $1 where number = $2 and domain = $3 and approved_at is null',
          [at, number, domain],
        );
      }
      const domains = await domainsOf(statements, number);
      if (domains.some(({ approvedAt }) => approvedAt === null)) return 'more';
      await this.#conclude(statements, { ...transaction, domains }, at);
      return 'approved';
    });
  }

  /** Forgets what has expired before that time, approved or not. @throws DatabaseError */
  async forget(before: number): Promise<void> {
    await this.#parts.database.transaction(async (statements) => {
      await statements.query(
        'delete from approval_domain where number in (select number from approval where expires_at < $1)',
        [before],
      );
      await statements.query('delete from approval where expires_at < $1', [before]);
    });
  }

  async #conclude(
    statements: Statements,
    { number, request, domains }: Transaction,
    at: number,
  ): Promise<void> {
    const { identity, publicUrl, endorse } = this.#parts;
    const { kind, sha256, spkiSha256, names } = request;
    const time = (when: number) => new Date(when).toISOString();
    const statement = signApproval(
      {
        type: 'mecai-approval',
        from: publicUrl,
        transaction: number,
        kind,
        sha256: Buffer.from(sha256).toString('hex'),
        spkiSha256: Buffer.from(spkiSha256).toString('hex'),
        names: [...names],
        domains: domains.map(({ domain, approvedAt }) => ({ domain, approvedAt: time(approvedAt ?? at) })),
        at: time(at),
      },
      identity,
    );
    const first = await statements.query(
      'update approval set statement = $1 where number = $2 and statement is null returning number',
      [statement, number],
    );
    if (first.length === 0) return;
    const authority = `${publicUrl} transaction ${number}`;
    // A CSR has no certificate yet: the key is what is known of it.
    const about = kind === 'certificate' ? sha256 : spkiSha256;
    await endorse(statements, { sha256: about, kind: 'approval', authority, at, statement });
  }

  /** @throws CoordinatorError `bad-request` for a domain that nobody can be called about, `rdap-failed` */
  async #contacts({ names }: CertificateRequest, number = ''): Promise<Call[]> {
    const { rdap, secret } = this.#parts;
    const domains = new Set<string>();
    for (const name of names) {
      const domain = registeredDomain(name.replace(/^\*\./, ''));
      if (domain === undefined) throw refused(`${name} is under no registered domain`);
      domains.add(domain);
    }
    if (domains.size > maxDomains) throw refused(`${domains.size} registered domains; ${maxDomains} at most`);
    return Promise.all(
      [...domains].map(async (domain) => {
        const { phone } = await rdap.contacts(domain);
        if (phone.length === 0) throw refused(`the registry has no telephone number for ${domain}`);
        return { domain, phones: phone, code: approvalCode(secret, number, domain) };
      }),
    );
  }
}

const refused = (why: string) => new CoordinatorError('bad-request', why);

/** Both of a fixed length once they are digits. */
function sameCode(given: string, right: string): boolean {
  const padded = Buffer.alloc(right.length);
  padded.write(given);
  return timingSafeEqual(padded, Buffer.from(right)) && given.length === right.length;
}

async function domainsOf(statements: Statements, number: string): Promise<Transaction['domains']> {
  const rows = await statements.query<{ domain: string; approved_at: number | null }>(
    'select domain, approved_at from approval_domain where number = $1 order by domain',
    [number],
  );
  return rows.map(({ domain, approved_at: approvedAt }) => ({ domain, approvedAt }));
}

interface Row {
  readonly [column: string]: string | number | Uint8Array | null;
  readonly der: Uint8Array;
  readonly opened_at: number;
  readonly expires_at: number;
  readonly tries: number;
  readonly statement: Uint8Array | null;
}

async function findTransaction(
  statements: Statements,
  { now, maxTries }: Pick<ApprovalsParts, 'now' | 'maxTries'>,
  number: string,
): Promise<Transaction | undefined> {
  const [row] = await statements.query<Row>(
    'select der, opened_at, expires_at, tries, statement from approval where number = $1',
    [number],
  );
  if (!row) return undefined;
  const { statement } = row;
  return {
    number,
    request: await readCertificateRequest(row.der),
    domains: await domainsOf(statements, number),
    openedAt: row.opened_at,
    expiresAt: row.expires_at,
    state: statement
      ? 'approved'
      : row.expires_at <= now()
        ? 'expired'
        : row.tries >= maxTries
          ? 'locked'
          : 'open',
    ...(statement && { statement }),
  };
}
