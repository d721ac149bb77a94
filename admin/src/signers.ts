/** One command to every signer of the VA. */
import { Metadata, type ServiceError, credentials, status } from '@grpc/grpc-js';
import { OperatorServiceClient } from '@mecai/proto/signer';
import { hostPort, loadConfig, mutualTls, readMutualTls, spiffeId, spiffeIdOf } from '@mecai/runtime';
import * as z from 'zod';
import { AdminError } from './error.ts';

const adminConfig = z.strictObject({
  /** All of them: what one does not hear, it does not enforce. */
  signers: z.array(z.strictObject({ address: hostPort(), id: spiffeId(), tls: mutualTls() })).min(1),
});
type SignerConfig = z.output<typeof adminConfig>['signers'][number];

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
  return loadConfig(adminConfig, file, environment).signers.map(connect);
}

function connect({ address, id, tls }: SignerConfig): Signer {
  const { ca, key, certificate } = readMutualTls(tls);
  const secure = credentials.createSsl(ca, key, certificate, {
    // The SPIFFE ID takes the place of the host name (SPIFFE X509-SVID section 5).
    checkServerIdentity: (_, { raw }) => {
      const shown = spiffeIdOf(raw);
      if (shown === id) return undefined;
      return new Error(`signer shows ${shown ?? 'no SPIFFE ID'}, not ${id}`);
    },
  });
  // Node refuses an IP address as SNI, and no host name counts here.
  const channel = { 'grpc.ssl_target_name_override': 'signer' };
  return { address, client: new OperatorServiceClient(address, secure, channel) };
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
