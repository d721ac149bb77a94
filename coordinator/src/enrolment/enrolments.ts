/** Invitations of agents, and their answers. An answer makes no perspective: the operator's signed update does. */
import { sameBytes } from '@mecai/addresses';
import {
  CorroborationError,
  type Enrolment,
  type Invitation,
  type Registry,
  type SignedInvitation,
  admitted,
  openEnrolment,
  parseInvitation,
} from '@mecai/corroboration';
import type { Database } from '@mecai/database';
import { CoordinatorError } from '../error.ts';

export interface EnrolmentsParts {
  /** @throws CoordinatorError `database-unavailable` */
  readonly database: () => Database;
  readonly registry: () => Registry;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type EnrolmentResult =
  | 'approved'
  | 'pending'
  | 'unknown-token'
  | 'expired'
  /** By an agent with other keys. */
  | 'used';

export interface OpenInvitation extends SignedInvitation {
  readonly enrolment: Uint8Array | null;
  readonly enrolledAt: number | null;
}

/** Its agent is still told that it has expired, rather than that there is none. */
const keepExpiredMs = 7 * 86_400_000;

type Found = {
  readonly token_key: string;
  readonly document: Uint8Array;
  readonly signature: Uint8Array;
  readonly expires_at: number;
  readonly enrolment: Uint8Array | null;
  readonly enrolled_at: number | null;
};

export class Enrolments {
  readonly #parts: EnrolmentsParts;

  constructor(parts: EnrolmentsParts) {
    this.#parts = parts;
  }

  /** @throws CoordinatorError `bad-request`; DatabaseError */
  async invite({ document, signature }: SignedInvitation): Promise<Invitation> {
    const { database, now } = this.#parts;
    const invitation = sensible(() => parseInvitation(document));
    const { tokenKey, expires } = invitation;
    if (expires <= now()) throw new CoordinatorError('bad-request', 'this invitation has expired');
    await database().query('delete from invitation where enrolment is null and expires_at < $1', [
      now() - keepExpiredMs,
    ]);
    const [kept] = await database().query(
      `insert into invitation (token_key, document, signature, expires_at) values ($1, $2, $3, $4)
       on conflict (token_key) do nothing returning token_key`,
      [tokenKey, document, signature, expires],
    );
    if (!kept) throw new CoordinatorError('bad-request', 'there is an invitation with this token');
    return invitation;
  }

  /**
   * The first agent with a token is the one. The same agent may ask as often as it likes.
   *
   * @throws CoordinatorError `bad-request`; CorroborationError `not-proven`, `other-place`; DatabaseError
   */
  async enrol(bytes: Uint8Array): Promise<EnrolmentResult> {
    const { database, now } = this.#parts;
    const enrolment = sensible(() => openEnrolment(bytes));
    const { tokenKey } = enrolment;
    if (this.#isPerspective(enrolment)) {
      // Invited to come with new keys, it comes with those that it had.
      if ((await this.#find(tokenKey))?.enrolment === null)
        throw new CoordinatorError('bad-request', 'its key is the one in the registry: make new ones first');
      await this.withdraw(tokenKey);
      return 'approved';
    }
    const invitation = await this.#find(tokenKey);
    if (!invitation) return 'unknown-token';
    void admitted(parseInvitation(invitation.document), enrolment);
    if (!invitation.enrolment) {
      if (invitation.expires_at <= now()) return 'expired';
      const [mine] = await database().query(
        `update invitation set enrolment = $1, enrolled_at = $2
         where token_key = $3 and enrolment is null returning token_key`,
        [bytes, now(), tokenKey],
      );
      if (mine) return 'pending';
    }
    // Somebody was here before, perhaps just now.
    const first = invitation.enrolment ?? (await this.#find(tokenKey))?.enrolment;
    if (!first) return 'unknown-token';
    return sameBytes(openEnrolment(first).statement, enrolment.statement) ? 'pending' : 'used';
  }

  /** Those that no agent of the registry has answered. */
  async list(): Promise<OpenInvitation[]> {
    const found = await this.#parts
      .database()
      .query<Found>('select * from invitation order by expires_at, token_key');
    const open: OpenInvitation[] = [];
    for (const { token_key: tokenKey, document, signature, enrolment, enrolled_at: enrolledAt } of found) {
      if (enrolment && this.#isPerspective(openEnrolment(enrolment))) await this.withdraw(tokenKey);
      else open.push({ document, signature, enrolment, enrolledAt });
    }
    return open;
  }

  /** @returns whether there was one */
  async withdraw(tokenKey: string): Promise<boolean> {
    const gone = await this.#parts
      .database()
      .query('delete from invitation where token_key = $1 returning token_key', [tokenKey]);
    return gone.length > 0;
  }

  async #find(tokenKey: string): Promise<Found | undefined> {
    const [found] = await this.#parts
      .database()
      .query<Found>('select * from invitation where token_key = $1', [tokenKey]);
    return found;
  }

  #isPerspective({ agent }: Enrolment): boolean {
    return this.#parts.registry().agents.get(agent.name)?.keyId === agent.keyId;
  }
}

/** What cannot be read is the sender's mistake. */
function sensible<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CorroborationError) || error.code === 'not-proven') throw error;
    throw new CoordinatorError('bad-request', error.message, { cause: error });
  }
}
