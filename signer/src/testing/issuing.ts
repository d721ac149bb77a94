import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { IssueRequest, IssueResponse, SignerServiceClient, Subject } from '@mecai/proto/signer';
import { observe, subjectOf } from './world.ts';

export type Stream = ClientDuplexStream<IssueRequest, IssueResponse>;

/** A stream with its answers at hand. */
export function issuing(client: SignerServiceClient) {
  const stream: Stream = client.issue();
  const answers = new Map<number, IssueResponse['step']>();
  let changed = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<ServiceError | undefined>();
  stream.on('data', ({ id, step }: IssueResponse) => {
    answers.set(id, step);
    changed.resolve();
    changed = Promise.withResolvers();
  });
  stream.on('error', (error: ServiceError) => ended.resolve(error));
  stream.on('end', () => ended.resolve(undefined));
  const answer = async (id: number): Promise<NonNullable<IssueResponse['step']>> => {
    for (;;) {
      const step = answers.get(id);
      if (step) return step;
      await Promise.race([
        changed.promise,
        ended.promise.then((error) => Promise.reject(error ?? new Error('ended'))),
      ]);
    }
  };
  return {
    stream,
    answers,
    /** With the error, or undefined when it ended well. */
    ended: ended.promise,
    answer,
    draw(id: number, subject: Subject = subjectOf()) {
      stream.write({ id, step: { $case: 'draw', draw: { subject } } });
      return answer(id);
    },
    /** Draw and evidence; the kind of the last answer. */
    async whole(id: number, subject?: Subject) {
      const drawn = await this.draw(id, subject);
      if (drawn.$case !== 'drawn') return drawn;
      const observations = drawn.drawn.agents.slice(0, 4).map((agent) => observe(agent, drawn.drawn));
      const { nonce } = drawn.drawn;
      stream.write({ id: id + 1_000_000, step: { $case: 'evidence', evidence: { nonce, observations } } });
      return answer(id + 1_000_000);
    },
  };
}
