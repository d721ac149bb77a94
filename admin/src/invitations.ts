/** How agents join. The coordinator only keeps what is signed: what it shows is verified here. */
import { type KeyObject, createPublicKey, randomBytes } from 'node:crypto';
import {
  CorroborationError,
  type Enrolment,
  type Invitation,
  admitted,
  newToken,
  openEnrolment,
  parseInvitation,
  readToken,
  signInvitation,
  verifyInvitation,
} from '@mecai/corroboration';
import type {
  AgentInvitation,
  InviteAgentResponse,
  ListInvitationsResponse,
  WithdrawInvitationResponse,
} from '@mecai/proto/coordinator';
import { type Coordinator, ask, misused } from './coordinator.ts';

type Service = Coordinator['agents'];

export interface Joining {
  readonly invitation: Invitation;
  /** Absent: nobody has answered. */
  readonly enrolment?: Enrolment;
  /** Milliseconds since 1970. */
  readonly enrolledAt?: number;
  readonly signed: AgentInvitation;
}

/**
 * @param entry of the registry, without keys
 * @returns the token, which is nowhere else
 * @throws AdminError `wrong-usage`; ServiceError
 */
export async function invite(
  service: Service,
  entry: unknown,
  expires: number,
  key: KeyObject,
): Promise<string> {
  const token = newToken(randomBytes(32));
  const { publicKey: tokenKey } = readToken(token);
  const invitation = read(() => signInvitation({ tokenKey, expires, agent: entry }, key));
  await ask<InviteAgentResponse>((...within) => service.inviteAgent(invitation, ...within));
  return token;
}

/** What the coordinator shows, read but not believed. */
export async function joining(service: Service): Promise<Joining[]> {
  const { invitations } = await ask<ListInvitationsResponse>((...within) =>
    service.listInvitations({}, ...within),
  );
  return invitations.map((signed) => ({
    signed,
    invitation: read(() => parseInvitation(signed.document)),
    ...(signed.enrolment.length > 0 && {
      enrolment: read(() => openEnrolment(signed.enrolment)),
      enrolledAt: signed.enrolledAt,
    }),
  }));
}

/**
 * The entry for an agent that waits: invited with this key, enrolled with the token of that invitation and with keys
 * that it holds.
 *
 * @param agentKey begins with this, as the agent's log has it; empty: any
 * @throws AdminError `wrong-usage`; ServiceError
 */
export async function enrolled(
  service: Service,
  name: string,
  key: KeyObject,
  agentKey: string,
): Promise<unknown> {
  const found = (await joining(service)).filter(({ invitation }) => invitation.agent.name === name);
  if (found.length === 0) throw misused(`${name} has no invitation, or is in the registry already`);
  const answered = found.filter(({ enrolment }) => enrolment);
  if (answered.length === 0) throw misused(`${name} is invited and has not enrolled yet`);
  const [one, ...others] = answered.filter(({ signed }) => verifyInvitation(signed, [createPublicKey(key)]));
  if (!one)
    throw misused(`${name} was not invited with this key: the coordinator shows an invitation by another`);
  if (others.length > 0)
    throw misused(`${name} answered several invitations: withdraw them, and invite again`);
  const { invitation, enrolment } = one;
  if (!enrolment!.agent.keyId.startsWith(agentKey)) {
    throw misused(`the key of ${name} is ${enrolment!.agent.keyId}, not ${agentKey}…`);
  }
  return read(() => admitted(invitation, enrolment!));
}

/** @throws AdminError `wrong-usage`; ServiceError */
export async function withdraw(service: Service, name: string): Promise<number> {
  const found = (await joining(service)).filter(({ invitation }) => invitation.agent.name === name);
  if (found.length === 0) throw misused(`${name} has no invitation`);
  for (const { invitation } of found) {
    await ask<WithdrawInvitationResponse>((...within) =>
      service.withdrawInvitation({ tokenKey: invitation.tokenKey }, ...within),
    );
  }
  return found.length;
}

const time = (at: number) => new Date(at).toISOString().slice(0, 16);

/** What a coordinator shows may be anything; it does not write to the terminal. */
const plain = (text: string): string => text.replace(/\p{C}/gu, '?');

export const joiningLine = ({ invitation: { agent, expires }, enrolment, enrolledAt }: Joining): string =>
  `  ${agent.name.padEnd(20)} ${plain(`${agent.city} ${agent.country}`).padEnd(24)} ${agent.rir.padEnd(8)} AS${agent.asn}  ` +
  (enrolment
    ? `key ${enrolment.agent.keyId.slice(0, 16)}, waits for approval since ${time(enrolledAt!)}`
    : `invited until ${time(expires)}, not enrolled`);

export const joiningJson = ({ invitation: { agent, expires }, enrolment, enrolledAt }: Joining) => ({
  ...agent,
  expires: new Date(expires).toISOString(),
  state: enrolment ? 'pending' : 'invited',
  ...(enrolment && {
    key: enrolment.agent.keyId,
    natsKey: enrolment.agent.natsKey,
    enrolledAt: new Date(enrolledAt!).toISOString(),
  }),
});

function read<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof CorroborationError) throw misused(plain(error.message));
    throw error;
  }
}
