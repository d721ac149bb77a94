import type {
  ApprovalServiceServer,
  GetApprovalRequest,
  GetApprovalResponse,
  OpenApprovalRequest,
  OpenApprovalResponse,
} from '@mecai/proto/coordinator';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
import type { Command } from '../operator-server.ts';
import type { Approvals } from './approvals.ts';

export interface ApprovalServiceParts {
  /** Undefined where nothing is approved. @throws CoordinatorError `database-unavailable` */
  readonly approvals: () => Approvals | undefined;
  readonly log: Logger;
}

export function approvalService(parts: ApprovalServiceParts, command: Command): ApprovalServiceServer {
  const { log } = parts;
  const approvals = () => {
    const there = parts.approvals();
    if (there) return there;
    throw new CoordinatorError('bad-request', 'no approvals are configured here');
  };
  return {
    openApproval: command<OpenApprovalRequest, OpenApprovalResponse>(
      async ({ certificateOrCsr }, operator) => {
        const number = await approvals().open(certificateOrCsr);
        log.info({ operator, number }, 'approval begun');
        return { number, callSheet: await approvals().callSheet(number) };
      },
    ),
    getApproval: command<GetApprovalRequest, GetApprovalResponse>(async ({ number }, operator) => {
      const transaction = await approvals().find(number);
      if (!transaction) throw new CoordinatorError('bad-request', `no transaction ${number}`);
      const { state, request, statement } = transaction;
      const callSheet = await approvals().callSheet(number);
      if (callSheet !== '') log.info({ operator, number }, 'call sheet printed');
      return { state, names: [...request.names], callSheet, statement: statement ?? new Uint8Array() };
    }),
  };
}
