/** The operator's commands over gRPC: mTLS, the caller is who its SPIFFE ID says. */
import { Server, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import type { Database } from '@mecai/database';
import {
  ApprovalServiceService,
  CertificateLogServiceService,
  AgentServiceService,
  OutboxServiceService,
} from '@mecai/proto/coordinator';
import { type Logger, Svid, spiffeIdOf, splitHostPort } from '@mecai/runtime';
import type { CoordinatorConfig } from './config.ts';
import { type AgentServiceParts, agentService } from './enrolment/operator-service.ts';
import { CoordinatorError } from './error.ts';
import type { Objections } from './log/objections.ts';
import { certificateLogService } from './log/operator-service.ts';
import { outboxService } from './notice/operator-service.ts';
import { type ApprovalServiceParts, approvalService } from './approval/operator-service.ts';

export interface OperatorServer {
  readonly address: string;
  close(): Promise<void>;
}

/** Runs one command. What it throws becomes a status. */
export type Command = <Request, Response>(
  action: (request: Request, operator: string) => Promise<Response>,
) => (call: ServerUnaryCall<Request, Response>, respond: sendUnaryData<Response>) => void;

const closeWithinMs = 2_000;

export async function startOperatorServer(options: {
  readonly config: Omit<NonNullable<CoordinatorConfig['operators']>, 'identities'>;
  /** SPIFFE IDs of who may command, now. */
  readonly identities: () => readonly string[];
  readonly database: () => Database;
  readonly objections: Objections;
  readonly approvals: ApprovalServiceParts['approvals'];
  readonly agents: Pick<AgentServiceParts, 'enrolments' | 'contradictions'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}): Promise<OperatorServer> {
  const { config, database, objections, approvals, agents, log, now } = options;
  const svid = Svid.of(config.tls, log);
  const server = new Server({ 'grpc.max_receive_message_length': 131_072 });

  const command: Command = (action) => (call, respond) => {
    const shown = call.getAuthContext()?.sslPeerCertificate?.raw;
    const operator = shown && spiffeIdOf(shown);
    if (operator === undefined || !options.identities().includes(operator)) {
      log.warn({ peer: call.getPeer(), id: operator }, 'caller is no operator');
      respond({ code: status.PERMISSION_DENIED, details: 'this identity is no operator' });
      return;
    }
    action(call.request, operator).then(
      (response) => respond(null, response),
      (error: unknown) => {
        const misused = error instanceof CoordinatorError && error.code === 'bad-request';
        if (!misused) log.error({ err: error, operator }, 'operator command failed');
        respond({
          code: misused ? status.INVALID_ARGUMENT : status.INTERNAL,
          details: error instanceof Error ? error.message : 'failed',
        });
      },
    );
  };
  server.addService(
    CertificateLogServiceService,
    certificateLogService({ database, objections, log }, command),
  );
  server.addService(ApprovalServiceService, approvalService({ approvals, log }, command));
  server.addService(AgentServiceService, agentService({ ...agents, log }, command));
  server.addService(OutboxServiceService, outboxService({ database, log, now }, command));

  const { host } = splitHostPort(config.listen);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(config.listen, svid.serverCredentials(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        svid.close();
        const patience = setTimeout(() => server.forceShutdown(), closeWithinMs);
        server.tryShutdown(() => {
          clearTimeout(patience);
          resolve();
        });
      }),
  };
}
