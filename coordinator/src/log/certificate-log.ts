/**
 * The log of every certificate that was seen in a valid voucher request, until it expires: the proposal's "new
 * certificate, come back later".
 *
 * A request is valid here once the quorum has corroborated it, with signatures verified, for a chain that the signer
 * found trusted: whoever wants to start a hold's clock has to show the certificate at an address that the
 * perspectives reach, and the owner of the name is told in the same transaction. Sending in certificates that are
 * shown nowhere starts nothing and fills nothing.
 */
import type { Database, Row, Statements } from '@mecai/database';
import { type HandshakeScts, isPresentedDnsName, parseCertificate } from '@mecai/pki';
import { formatAddress } from '@mecai/addresses';
import { approves, ownApproval } from '../approval/statement.ts';
import { enqueueNotice } from '../notice/notice.ts';
import { type CertificateFacts, factsOf, hex, namesFromText, namesToText } from './certificate-facts.ts';
import { type Event, insertEvents } from './events.ts';
import {
  type CertificateState,
  type HoldEnd,
  type HoldPolicy,
  type KnownCertificate,
  holdEnd,
} from './hold.ts';
import { type LastSeen, type Sight, endpointOf, endpointRows, upsertEndpoints } from './last-seen.ts';
import { insertRows } from './rows.ts';
import { type KnownLog, verifiedScts } from './scts.ts';

/** What stands in the log about a certificate, as far as a decision needs it. */
export interface Standing {
  readonly state: CertificateState;
  /** Milliseconds since 1970. */
  readonly holdUntil: number;
}

export interface CertificateLogParts {
  readonly database: () => Database;
  readonly policy: HoldPolicy;
  /** By log ID, hexadecimal. */
  readonly ctLogs: ReadonlyMap<string, KnownLog>;
  readonly lastSeen: Pick<LastSeen, 'add'>;
  readonly noticeOfRenewals: boolean;
  /** False where nobody sends notices: then none are put into the outbox. */
  readonly notices?: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

interface StandingRow extends Row {
  readonly state: CertificateState;
  readonly hold_until: number;
}

export class CertificateLog {
  readonly #parts: CertificateLogParts;

  constructor(parts: CertificateLogParts) {
    this.#parts = parts;
  }

  /**
   * All that a certificate needs which is cleared already: one look-up by its primary key.
   *
   * @param sha256 of its DER
   * @returns undefined for one that was never seen
   * @throws DatabaseError; CoordinatorError `database-unavailable`
   */
  async standing(sha256: Uint8Array): Promise<Standing | undefined> {
    const [row] = await this.#parts
      .database()
      .query<StandingRow>('select state, hold_until from certificate where sha256 = $1', [sha256]);
    return row && standingOf(row);
  }

  /**
   * What becomes of a corroborated request. The first sight of a certificate, what follows from it and the notice of
   * it are one transaction: they are on the disk when this returns.
   *
   * @param standing what `standing` has just said of the leaf
   * @param sent the SCTs that came with it in the handshake
   * @throws DatabaseError; CoordinatorError; PkiError for a leaf that cannot be read
   */
  async admit(
    sight: Sight,
    sha256: Uint8Array,
    standing: Standing | undefined,
    sent: () => HandshakeScts = () => ({}),
  ): Promise<Standing> {
    const { database, lastSeen, now } = this.#parts;
    const at = now();
    let after = standing;
    if (after === undefined || after.state === 'held') {
      const facts = factsOf(sight.question.subject.chain[0]!);
      after = await database().transaction(
        (statements) => this.#consider(statements, sight, facts, sent, at),
        facts.spkiSha256,
      );
    }
    if (standing) lastSeen.add(sight, sha256, at);
    return after;
  }

  /** A first sight, or another look at what is held: its hold may have ended, or end earlier than it did. */
  async #consider(
    statements: Statements,
    sight: Sight,
    facts: CertificateFacts,
    sent: () => HandshakeScts,
    now: number,
  ): Promise<Standing> {
    const { sha256 } = facts;
    const [row] = await statements.query<
      StandingRow & { readonly first_request: number; readonly events: number }
    >('select state, hold_until, first_request, events from certificate where sha256 = $1', [sha256]);
    if (row && row.state !== 'held') return standingOf(row);
    const end = await this.#holdEnd(statements, sight, facts, sent, row?.first_request ?? now, now);
    if (!row) return this.#firstSight(statements, sight, facts, end, now);

    // A hold is never made longer by who asks.
    const shorter = end.at < row.hold_until;
    const holdUntil = shorter ? end.at : row.hold_until;
    const state = holdUntil <= now ? 'cleared' : 'held';
    if (state === 'held' && !shorter) return standingOf(row);
    const events: readonly Event[] = shorter
      ? end.by === 'hold'
        ? [{ kind: 'hold-shortened', detail: { until: end.at } }]
        : shortened(end)
      : [{ kind: 'hold-ended', detail: {} }];
    await statements.query(
      'update certificate set state = $2, hold_until = $3, events = $4 where sha256 = $1',
      [sha256, state, holdUntil, row.events + events.length],
    );
    await insertEvents(statements, sha256, row.events, now, events);
    return { state, holdUntil };
  }

  async #firstSight(
    statements: Statements,
    sight: Sight,
    facts: CertificateFacts,
    end: HoldEnd,
    now: number,
  ): Promise<Standing> {
    const { certificate, sha256, spkiSha256, ca, issuer, names } = facts;
    const { subject, requester, authenticated } = sight.question;
    const state = end.by === 'objection' ? 'objected' : end.at <= now ? 'cleared' : 'held';
    const events: Event[] = [
      {
        kind: 'first-sight',
        detail: {
          requester: formatAddress(requester),
          authenticated,
          addresses: subject.addresses.map(formatAddress),
          port: subject.port,
          serverName: subject.serverName,
          startTls: subject.startTls,
          trustContexts: sight.trustContexts,
          ...(state === 'held' && { until: end.at }),
        },
      },
      ...(end.by === 'objection'
        ? [{ kind: 'objected' as const, detail: { by: 'key', certificate: end.certificate } }]
        : shortened(end)),
    ];
    await statements.query(
      `insert into certificate (sha256, spki_sha256, ca, issuer, names, not_before, not_after, first_request,
         state, hold_until, events) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        sha256,
        spkiSha256,
        ca,
        issuer,
        namesToText(names),
        certificate.notBefore.getTime(),
        certificate.notAfter.getTime(),
        now,
        state,
        end.at,
        events.length,
      ],
    );
    await statements.query('insert into certificate_der (sha256, der) values ($1, $2)', [
      sha256,
      certificate.der,
    ]);
    const searchable = new Set(names.dns.filter(isPresentedDnsName));
    await insertRows(
      statements,
      'insert into certificate_name (name, sha256) values',
      Array.from(searchable, (name) => [name, sha256]),
    );
    await upsertEndpoints(statements, endpointRows(sight, sha256, now));
    await insertEvents(statements, sha256, 0, now, events);
    const { notices = true, noticeOfRenewals } = this.#parts;
    if (notices && (end.by !== 'renewal' || noticeOfRenewals)) {
      await enqueueNotice(statements, {
        kind: 'first-sight',
        chain: subject.chain,
        endpoint: endpointOf(subject),
        requester,
        authenticated,
        seenAt: now,
        ...(state === 'held' && { holdUntil: end.at }),
        perspectives: sight.perspectives,
      });
    }
    return { state, holdUntil: end.at };
  }

  async #holdEnd(
    statements: Statements,
    sight: Sight,
    facts: CertificateFacts,
    sent: () => HandshakeScts,
    firstRequest: number,
    now: number,
  ): Promise<HoldEnd> {
    const { policy, ctLogs } = this.#parts;
    const { certificate, sha256, spkiSha256 } = facts;
    const issuer = sight.question.subject.chain[1];
    return holdEnd(policy, {
      firstRequest,
      notBefore: certificate.notBefore.getTime(),
      notAfter: certificate.notAfter.getTime(),
      ca: facts.ca,
      organizations: facts.organizations,
      names: facts.names,
      trustContexts: sight.trustContexts,
      authenticated: sight.question.authenticated,
      sameKey: await knownCertificates(
        statements,
        `select ${knownColumns} from certificate where spki_sha256 = $1 and sha256 <> $2`,
        [spkiSha256, sha256],
      ),
      declaredBy: policy.waivers.successors
        ? await knownCertificates(
            statements,
            `select ${knownColumns} from certificate where sha256 in
               (select current from successor where successor in ($1, $2) and declared_at < $3)`,
            [sha256, spkiSha256, firstRequest],
          )
        : [],
      scts: verifiedScts(ctLogs, certificate, issuer && parseCertificate(issuer), sent, now),
      ...(await endorsements(statements, facts)),
    });
  }
}

const standingOf = ({ state, hold_until: holdUntil }: StandingRow): Standing => ({ state, holdUntil });

/** Why a hold ends earlier than the usual one. */
const shortened = ({ at, by, certificate }: HoldEnd): Event[] =>
  by === 'hold'
    ? []
    : [{ kind: 'waived', detail: { by, until: at, ...(certificate !== undefined && { certificate }) } }];

export const knownColumns = 'sha256, state, ca, names';

export async function knownCertificates(
  statements: Statements,
  sql: string,
  parameters: Parameters<Statements['query']>[1],
): Promise<KnownCertificate[]> {
  const rows = await statements.query<{
    readonly sha256: Uint8Array;
    readonly state: CertificateState;
    readonly ca: Uint8Array;
    readonly names: string;
  }>(sql, parameters);
  return rows.map(({ sha256, state, ca, names }) => ({
    sha256: hex(sha256),
    state,
    ca,
    names: namesFromText(names),
  }));
}

/** What other VAs, and our own people, have signed about a certificate. */
async function endorsements(statements: Statements, { sha256, spkiSha256, names }: CertificateFacts) {
  const rows = await statements.query<{
    readonly sha256: Uint8Array;
    readonly authority: string;
    readonly kind: 'expedite' | 'approval';
    readonly received_at: number;
    readonly statement: Uint8Array;
  }>('select sha256, authority, kind, received_at, statement from endorsement where sha256 in ($1, $2)', [
    sha256,
    spkiSha256,
  ]);
  const approvable = { sha256: hex(sha256), spkiSha256: hex(spkiSha256), names };
  // Of a CSR: it was for this key, which may be in certificates for other names, too.
  const holds = (row: { sha256: Uint8Array; statement: Uint8Array }) => {
    if (hex(row.sha256) === approvable.sha256) return true;
    const approval = ownApproval(row.statement);
    return approval !== undefined && approves(approval, approvable);
  };
  const of = (wanted: string) =>
    rows
      .filter((row) => row.kind === wanted && holds(row))
      .map(({ authority, received_at: at }) => ({ who: authority, at }));
  const approvals = of('approval').map(({ at }) => at);
  return { expedited: of('expedite'), ...(approvals.length > 0 && { approved: Math.min(...approvals) }) };
}
