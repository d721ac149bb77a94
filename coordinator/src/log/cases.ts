/** What there is to say about certificates, for operators and for who objects. */
import type { Row, Statements } from '@mecai/database';
import { type Delivery, deliveriesAbout } from '../notice/outbox.ts';
import { hex } from './certificate-facts.ts';
import type { CertificateState } from './hold.ts';

export interface CertificateSummary {
  /** Hexadecimal. */
  readonly sha256: string;
  readonly issuer: string;
  /** Names as the certificate has them; they may be anything. */
  readonly names: readonly string[];
  readonly state: CertificateState;
  /** Milliseconds since 1970, as are the other times. */
  readonly holdUntil: number;
  readonly firstRequest: number;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CertificateCase extends CertificateSummary {
  readonly spkiSha256: string;
  readonly der: Uint8Array;
  /** The last first, at most a hundred. */
  readonly endpoints: readonly {
    readonly address: string;
    readonly port: number;
    readonly serverName: string;
    readonly startTls: string;
    readonly firstRequest: number;
    readonly lastRequest: number;
  }[];
  /** In order. */
  readonly events: readonly { readonly at: number; readonly kind: string; readonly detail: string }[];
  readonly endorsements: readonly {
    readonly authority: string;
    readonly kind: string;
    readonly at: number;
  }[];
  /** Of the notice of its first sight. */
  readonly deliveries: readonly Delivery[];
}

interface SummaryRow extends Row {
  readonly sha256: Uint8Array;
  readonly spki_sha256: Uint8Array;
  readonly issuer: string;
  readonly names: string;
  readonly state: CertificateState;
  readonly hold_until: number;
  readonly first_request: number;
  readonly not_before: number;
  readonly not_after: number;
}
const columns =
  'c.sha256, spki_sha256, issuer, names, state, hold_until, first_request, not_before, not_after';

export async function certificateCase(
  statements: Statements,
  sha256: Uint8Array,
): Promise<CertificateCase | undefined> {
  const [row] = await statements.query<SummaryRow & { readonly der: Uint8Array }>(
    `select ${columns}, der from certificate c join certificate_der d on d.sha256 = c.sha256 where c.sha256 = $1`,
    [sha256],
  );
  if (!row) return undefined;
  const [endpoints, events, endorsements, deliveries] = await Promise.all([
    statements.query<{
      readonly address: string;
      readonly port: number;
      readonly server_name: string;
      readonly start_tls: string;
      readonly first_request: number;
      readonly last_request: number;
    }>(
      `select address, port, server_name, start_tls, first_request, last_request from certificate_endpoint
       where sha256 = $1 order by last_request desc, address limit 100`,
      [sha256],
    ),
    statements.query<{ readonly at: number; readonly kind: string; readonly detail: string }>(
      'select at, kind, detail from certificate_event where sha256 = $1 order by number',
      [sha256],
    ),
    statements.query<{ readonly authority: string; readonly kind: string; readonly at: number }>(
      'select authority, kind, received_at as at from endorsement where sha256 = $1 order by received_at',
      [sha256],
    ),
    deliveriesAbout(statements, 'notice', hex(sha256)),
  ]);
  return {
    ...summaryOf(row),
    spkiSha256: hex(row.spki_sha256),
    der: row.der,
    endpoints: endpoints.map((one) => ({
      address: one.address,
      port: one.port,
      serverName: one.server_name,
      startTls: one.start_tls,
      firstRequest: one.first_request,
      lastRequest: one.last_request,
    })),
    events,
    endorsements,
    deliveries,
  };
}

/** What waits for time or for an operator, the oldest first. */
export async function certificatesIn(
  statements: Statements,
  state: 'held' | 'objected',
  limit: number,
): Promise<CertificateSummary[]> {
  // Two texts, for an index each.
  const which =
    state === 'held' ? `state = 'held' order by hold_until` : `state = 'objected' order by first_request`;
  const rows = await statements.query<SummaryRow>(
    `select ${columns} from certificate c where ${which}, c.sha256 limit $1`,
    [limit],
  );
  return rows.map(summaryOf);
}

/** @param name as it stands in certificates, lower case, wildcard or not; the newest first */
export async function certificatesFor(
  statements: Statements,
  name: string,
  limit: number,
): Promise<CertificateSummary[]> {
  const rows = await statements.query<SummaryRow>(
    `select ${columns} from certificate_name n join certificate c on c.sha256 = n.sha256
     where name = $1 order by first_request desc, c.sha256 limit $2`,
    [name, limit],
  );
  return rows.map(summaryOf);
}

/** What waits, and since when; milliseconds since 1970, undefined where nothing does. */
export interface Ages {
  /** First request of the certificate whose hold ends next. */
  readonly held: number | undefined;
  /** The objection that has waited longest for an operator. */
  readonly objected: number | undefined;
  /** When the hold that ends next ends: in the past, it is overdue. */
  readonly holdEnds: number | undefined;
}

export async function agesOf(statements: Statements): Promise<Ages> {
  const [held] = await statements.query<{ hold_until: number; first_request: number }>(
    `select hold_until, first_request from certificate where state = 'held' order by hold_until limit 1`,
  );
  // The last objection to each: one may have been decided, and another raised.
  const [objected] = await statements.query<{ at: number | null }>(
    `select min(at) as at from (select max(e.at) as at from certificate c
       join certificate_event e on e.sha256 = c.sha256 and e.kind = 'objected'
       where c.state = 'objected' group by c.sha256) as last`,
  );
  return {
    held: held?.first_request,
    objected: objected?.at ?? undefined,
    holdEnds: held?.hold_until,
  };
}

export interface StateCounts extends Readonly<Record<CertificateState, number>> {
  /** When those were counted that are many, milliseconds since 1970. */
  readonly countedAt: number;
}

/** Counting five million takes some tenths of a second. */
const many = 100_000;
/** Milliseconds. */
const recountEveryMs = 600_000;

/** How many certificates are in each state. Those that are many are counted once in ten minutes. */
export async function countStates(
  statements: Statements,
  before: StateCounts | undefined,
  now: number,
): Promise<StateCounts> {
  const count = async (which: string) => {
    const [row] = await statements.query<{ n: number }>(
      `select count(*) as n from certificate where ${which}`,
    );
    return row!.n;
  };
  const held = await count(`state = 'held'`);
  const objected = await count(`state = 'objected'`);
  const kept = before && before.cleared + before.expired > many && now - before.countedAt < recountEveryMs;
  if (kept) return { ...before, held, objected };
  const valid = await count(`state <> 'expired'`);
  const expired = await count(`state = 'expired'`);
  return { held, objected, cleared: valid - held - objected, expired, countedAt: now };
}

function summaryOf(row: SummaryRow): CertificateSummary {
  const { dns, ip }: { dns: string[]; ip: string[] } = JSON.parse(row.names);
  return {
    sha256: hex(row.sha256),
    issuer: row.issuer,
    names: [...dns, ...ip],
    state: row.state,
    holdUntil: row.hold_until,
    firstRequest: row.first_request,
    notBefore: row.not_before,
    notAfter: row.not_after,
  };
}
