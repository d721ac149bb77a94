/**
 * Objections: who controls a name says that a certificate for it is not theirs. What was on hold, or cleared already,
 * gets no voucher until an operator has decided.
 *
 * An objection is to a key: it takes in every certificate in the log with the same one, since who holds a key that
 * should not be certified can have it certified again. One that an operator has decided is not raised again by the
 * same proof.
 */
import { sameBytes } from '@mecai/addresses';
import type { Database, Row, Statements } from '@mecai/database';
import { isDnsName, matchesHostName } from '@mecai/pki';
import type { DnsClient } from '../dns/dns-client.ts';
import { CoordinatorError } from '../error.ts';
import { type Letter, enqueueLetter } from '../notice/letter.ts';
import { hex, namesFromText } from './certificate-facts.ts';
import type { CertificateState } from './hold.ts';
import { insertEvents } from './events.ts';
import type { ReadStatement } from './statements.ts';

export interface ObjectionsParts {
  readonly database: () => Database;
  readonly dns: Pick<DnsClient, 'txt'>;
  /** Whom to tell at a CA: mail addresses by `ca`, hexadecimal. */
  readonly caContacts: ReadonlyMap<string, readonly string[]>;
  readonly publicUrl: () => string;
  readonly newId: () => string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Why there is no objection, or that there is one. */
export type ObjectionOutcome =
  | 'objected'
  /** There is one already. */
  | 'stands'
  /** The operator has decided about this very proof. */
  | 'decided'
  | 'unknown-certificate'
  | 'expired'
  /** The certificate is not for this domain, or anything below it. */
  | 'other-domain'
  | 'not-proven';

export interface Evidence {
  readonly by: 'dns' | 'certificate' | 'operator';
  /** What is remembered of it, JSON. */
  readonly detail: Readonly<Record<string, string>>;
}

interface CaseRow extends Row {
  readonly sha256: Uint8Array;
  readonly spki_sha256: Uint8Array;
  readonly ca: Uint8Array;
  readonly issuer: string;
  readonly names: string;
  readonly state: CertificateState;
  readonly events: number;
}
const caseColumns = 'sha256, spki_sha256, ca, issuer, names, state, events';

/** The record that proves control of a domain, and that its owner objects; the same for every voucher authority. */
export const objectionRecord = (domain: string, sha256: Uint8Array) => ({
  name: `_mecai-objection.${domain}`,
  value: `sha256=${hex(sha256)}`,
});

export class Objections {
  readonly #parts: ObjectionsParts;

  constructor(parts: ObjectionsParts) {
    this.#parts = parts;
  }

  /**
   * By a TXT record at the name, or at a domain above it.
   *
   * @param requester who says that the record is there, for the record
   * @throws CoordinatorError `dns-failed`; DatabaseError
   */
  async byDns(sha256: Uint8Array, domain: string, requester: string): Promise<ObjectionOutcome> {
    const row = await this.#find(sha256);
    if (!row) return 'unknown-certificate';
    if (!isUnder(row, domain)) return 'other-domain';
    const { name, value } = objectionRecord(domain, sha256);
    if (!(await this.#parts.dns.txt(name)).includes(value)) return 'not-proven';
    return this.object(sha256, { by: 'dns', detail: { domain, record: name, value, requester } });
  }

  /**
   * By the key of another certificate for the name, one that vouchers are issued for.
   *
   * @param cms the statement as it came
   * @throws DatabaseError
   */
  async byStatement(
    { statement, signedBy }: ReadStatement,
    cms: Uint8Array,
    requester: string,
  ): Promise<ObjectionOutcome> {
    if (statement.type !== 'mecai-objection') return 'not-proven';
    const { domain } = statement;
    const sha256 = Buffer.from(statement.certificate, 'hex');
    const by = Buffer.from(statement.by, 'hex');
    const [row, witness] = await Promise.all([this.#find(sha256), this.#find(by)]);
    if (!row) return 'unknown-certificate';
    if (!isUnder(row, domain)) return 'other-domain';
    const speaks =
      witness?.state === 'cleared' &&
      !sameBytes(witness.spki_sha256, row.spki_sha256) &&
      matchesHostName(namesFromText(witness.names), domain);
    if (!speaks) return 'not-proven';
    const [der] = await this.#parts
      .database()
      .query<{ der: Uint8Array }>('select der from certificate_der where sha256 = $1', [by]);
    if (!der || !(await signedBy(der.der))) return 'not-proven';
    const detail = { domain, certificate: statement.by, statement: base64(cms), requester };
    return this.object(sha256, { by: 'certificate', detail });
  }

  /** What is proven, or what an operator says. @throws DatabaseError */
  object(sha256: Uint8Array, evidence: Evidence): Promise<ObjectionOutcome> {
    const at = this.#parts.now();
    return this.#alone<ObjectionOutcome>(sha256, 'unknown-certificate', async (statements, row) => {
      if (row.state === 'expired') return 'expired';
      if (evidence.by !== 'operator' && (await wasRaised(statements, row, evidence))) {
        return row.state === 'objected' ? 'stands' : 'decided';
      }
      const detail = { by: evidence.by, case: hex(sha256), ...evidence.detail };
      const moved = await moveKey(statements, row, ['held', 'cleared'], 'objected', {
        kind: 'objected',
        detail,
        at,
      });
      // Another proof of what is objected to already is evidence in the same case.
      if (row.state === 'objected') await addEvent(statements, row, { kind: 'objected', detail, at });
      const letter = this.#letter(row, moved, evidence);
      if (letter && moved.length > 0) await enqueueLetter(statements, letter, this.#parts.newId, at);
      return 'objected';
    });
  }

  /**
   * The operator's decision that a certificate is good: ends its hold, or every objection to its key.
   *
   * @returns how many certificates that cleared; undefined for one that is not in the log
   * @throws CoordinatorError `bad-request` for one that is neither held nor objected to; DatabaseError
   */
  clear(sha256: Uint8Array, detail: Readonly<Record<string, string>>): Promise<number | undefined> {
    const at = this.#parts.now();
    return this.#alone<number | undefined>(sha256, undefined, async (statements, row) => {
      const event = { kind: 'cleared', detail: { case: hex(sha256), ...detail }, at } as const;
      if (row.state === 'objected') {
        return (await moveKey(statements, row, ['objected'], 'cleared', event)).length;
      }
      if (row.state !== 'held') {
        throw new CoordinatorError(
          'bad-request',
          `the certificate is ${row.state}: nothing is to be cleared`,
        );
      }
      await statements.query(`update certificate set state = 'cleared', hold_until = $2 where sha256 = $1`, [
        sha256,
        at,
      ]);
      await addEvent(statements, row, event);
      return 1;
    });
  }

  /** One at a time for each key: neither two of these, nor one of these and a first sight. */
  async #alone<T>(
    sha256: Uint8Array,
    unknown: T,
    work: (statements: Statements, row: CaseRow) => Promise<T>,
  ): Promise<T> {
    const known = await this.#find(sha256);
    if (!known) return unknown;
    return this.#parts.database().transaction(async (statements) => {
      const row = await find(statements, sha256);
      return row ? work(statements, row) : unknown;
    }, known.spki_sha256);
  }

  async #find(sha256: Uint8Array): Promise<CaseRow | undefined> {
    return find(this.#parts.database(), sha256);
  }

  #letter(row: CaseRow, moved: readonly CaseRow[], { by }: Evidence): Letter | undefined {
    const to = this.#parts.caContacts.get(hex(row.ca));
    if (!to) return undefined;
    const fingerprint = hex(row.sha256);
    const { dns } = namesFromText(row.names);
    return {
      id: `objection ${fingerprint} ${row.events + 1}`,
      subject: `objection to certificate ${fingerprint}`,
      text: [
        by === 'operator'
          ? 'We object to a certificate that you have issued.'
          : 'Somebody who proved to control a name in a certificate that you have issued says that it is not theirs.',
        'We issue no voucher for it any more until we have looked into it. Please do so as well.',
        '',
        `fingerprint  ${fingerprint} (SHA-256)`,
        `issuer       ${row.issuer}`,
        `first name   ${printable(dns[0] ?? '')}`,
        ...moved
          .filter((one) => !sameBytes(one.sha256, row.sha256))
          .slice(0, 100)
          .map((one) => `same key     ${hex(one.sha256)}`),
        '',
        `The certificate: ${this.#parts.publicUrl()}/certificates/${fingerprint}`,
        '',
      ].join('\n'),
      to,
    };
  }
}

async function find(statements: Statements, sha256: Uint8Array): Promise<CaseRow | undefined> {
  const [row] = await statements.query<CaseRow>(`select ${caseColumns} from certificate where sha256 = $1`, [
    sha256,
  ]);
  return row;
}

/** Whether the certificate is for this domain, or for a name below it. */
function isUnder({ names }: CaseRow, domain: string): boolean {
  if (!isDnsName(domain) || !domain.includes('.') || domain !== domain.toLowerCase()) return false;
  return namesFromText(names).dns.some((name) => `.${name.replace(/^\*\./, '')}`.endsWith(`.${domain}`));
}

/** Whether the same has been shown before, in this case. */
async function wasRaised(
  statements: Statements,
  { sha256 }: CaseRow,
  { by, detail: { domain } }: Evidence,
): Promise<boolean> {
  const events = await statements.query<{ detail: string }>(
    `select detail from certificate_event where sha256 = $1 and kind = 'objected'`,
    [sha256],
  );
  return events.some(({ detail }) => {
    const before: { by?: string; domain?: string } = JSON.parse(detail);
    return before.by === by && before.domain === domain;
  });
}

interface DatedEvent {
  readonly kind: 'objected' | 'cleared';
  readonly detail: object;
  readonly at: number;
}

/** Moves all certificates with this one's key that are in one of these states. @returns which they were */
async function moveKey(
  statements: Statements,
  { spki_sha256: spki }: CaseRow,
  from: readonly CertificateState[],
  to: 'objected' | 'cleared',
  event: DatedEvent,
): Promise<CaseRow[]> {
  const rows = await statements.query<CaseRow>(
    `select ${caseColumns} from certificate where spki_sha256 = $1`,
    [spki],
  );
  const moving = rows.filter(({ state }) => from.includes(state));
  for (const row of moving) {
    await statements.query('update certificate set state = $2 where sha256 = $1', [row.sha256, to]);
    await addEvent(statements, row, event);
  }
  return moving;
}

async function addEvent(
  statements: Statements,
  { sha256, events }: CaseRow,
  { kind, detail, at }: DatedEvent,
): Promise<void> {
  await statements.query('update certificate set events = events + 1 where sha256 = $1', [sha256]);
  await insertEvents(statements, sha256, events, at, [{ kind, detail }]);
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const printable = (text: string): string => text.slice(0, 253).replace(/[^\x20-\x7e]/g, '?');
