/** Commands to a coordinator. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  ApprovalServiceClient,
  CertificateLogServiceClient,
  AgentServiceClient,
  OutboxServiceClient,
} from '@mecai/proto/coordinator';
import { loadConfig } from '@mecai/runtime';
import { adminConfig, channelTo } from './config.ts';
import { AdminError } from './error.ts';

export interface Coordinator {
  readonly log: CertificateLogServiceClient;
  readonly outbox: OutboxServiceClient;
  readonly approval: ApprovalServiceClient;
  readonly agents: AgentServiceClient;
}

export type Done<T> = (error: ServiceError | null, response: T) => void;
type Within<T> = readonly [Metadata, { readonly deadline: number }, Done<T>];

const answerWithinMs = 30_000;

/** Connects, acts, and goes. */
export async function withCoordinator(
  file: string | undefined,
  environment: NodeJS.ProcessEnv,
  act: (coordinator: Coordinator) => Promise<void>,
): Promise<void> {
  if (file === undefined) throw misused('--config <file.json> is missing');
  const { coordinator } = loadConfig(adminConfig, file, environment);
  if (!coordinator) throw misused(`${file}: no coordinator`);
  const channel = channelTo('coordinator', coordinator);
  const log = new CertificateLogServiceClient(...channel);
  const outbox = new OutboxServiceClient(...channel);
  const approval = new ApprovalServiceClient(...channel);
  const agents = new AgentServiceClient(...channel);
  try {
    await act({ log, outbox, approval, agents });
  } finally {
    agents.close();
    log.close();
    outbox.close();
    approval.close();
  }
}

/** @throws AdminError `wrong-usage` where the coordinator says that the command makes no sense; ServiceError */
export const ask = <T>(send: (...within: Within<T>) => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    // The channel counts by the machine's clock, and by no other.
    send(new Metadata(), { deadline: Date.now() + answerWithinMs }, (error, response) => {
      if (!error) resolve(response);
      else reject(error.code === status.INVALID_ARGUMENT ? misused(error.details) : error);
    });
  });

export const misused = (why: string) => new AdminError('wrong-usage', why);

/** At most so many; by default what the coordinator thinks right. */
export function limitOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[1-9]\d{0,4}$/.test(text)) throw misused('--limit: 1 to 10000');
  return Number(text);
}
