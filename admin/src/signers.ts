/** One command to every signer of the VA. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { OperatorServiceClient } from '@mecai/proto/signer';
import { loadConfig } from '@mecai/runtime';
import { adminConfig, channelTo } from './config.ts';
import { AdminError } from './error.ts';

export interface Signer {
  readonly address: string;
  readonly client: OperatorServiceClient;
}

/** What came of it at one signer. */
export type Answer<T> =
  | { readonly address: string; readonly response: T }
  | { readonly address: string; readonly error: Error };

type Done<T> = (error: ServiceError | null, response: T) => void;
export type Within<T> = readonly [Metadata, { readonly deadline: number }, Done<T>];

const answerWithinMs = 5_000;

export function connectSigners(file: string, environment: NodeJS.ProcessEnv): Signer[] {
  const { signers } = loadConfig(adminConfig, file, environment);
  if (!signers) throw new AdminError('wrong-usage', `${file}: no signers`);
  return signers.map((signer) => ({
    address: signer.address,
    client: new OperatorServiceClient(...channelTo('signer', signer)),
  }));
}

/**
 * Asks all of them at once.
 *
 * @throws AdminError `wrong-usage` when each of them says that the command makes no sense
 */
export async function everySigner<T>(
  signers: readonly Signer[],
  send: (client: OperatorServiceClient, within: Within<T>) => unknown,
): Promise<Answer<T>[]> {
  const answers = await Promise.all(
    signers.map(
      ({ address, client }) =>
        new Promise<Answer<T>>((resolve) => {
          const done: Done<T> = (error, response) =>
            resolve(error ? { address, error } : { address, response });
          // The channel counts by the machine's clock, and by no other.
          send(client, [new Metadata(), { deadline: Date.now() + answerWithinMs }, done]);
        }),
    ),
  );
  const [first] = answers;
  if (first && 'error' in first && answers.every(isMisuse)) {
    throw new AdminError('wrong-usage', (first.error as ServiceError).details);
  }
  return answers;
}

const isMisuse = (answer: Answer<unknown>): boolean =>
  'error' in answer && (answer.error as Partial<ServiceError>).code === status.INVALID_ARGUMENT;
