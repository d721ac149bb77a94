import type {
  AgentContradictions,
  AgentServiceServer,
  InviteAgentRequest,
  InviteAgentResponse,
  ListContradictionsRequest,
  ListContradictionsResponse,
  ListInvitationsRequest,
  ListInvitationsResponse,
  WithdrawInvitationRequest,
  WithdrawInvitationResponse,
} from '@mecai/proto/coordinator';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
import type { Command } from '../operator-server.ts';
import type { Enrolments } from './enrolments.ts';

export interface AgentServiceParts {
  readonly enrolments: Enrolments;
  readonly contradictions: () => AgentContradictions[];
  readonly log: Logger;
}

export function agentService(
  { enrolments, contradictions, log }: AgentServiceParts,
  command: Command,
): AgentServiceServer {
  return {
    inviteAgent: command<InviteAgentRequest, InviteAgentResponse>(async (request, operator) => {
      const { agent, expires } = await enrolments.invite(request);
      log.info({ operator, agent: agent.name, expires }, 'agent invited');
      return {};
    }),
    listInvitations: command<ListInvitationsRequest, ListInvitationsResponse>(async () => ({
      invitations: (await enrolments.list()).map(({ document, signature, enrolment, enrolledAt }) => ({
        document,
        signature,
        enrolment: enrolment ?? new Uint8Array(),
        enrolledAt: enrolledAt ?? 0,
      })),
    })),
    listContradictions: command<ListContradictionsRequest, ListContradictionsResponse>(() =>
      Promise.resolve({ agents: contradictions() }),
    ),
    withdrawInvitation: command<WithdrawInvitationRequest, WithdrawInvitationResponse>(
      async ({ tokenKey }, operator) => {
        if (!(await enrolments.withdraw(tokenKey))) {
          throw new CoordinatorError('bad-request', 'there is no such invitation');
        }
        log.warn({ operator, tokenKey }, 'invitation withdrawn');
        return {};
      },
    ),
  };
}
