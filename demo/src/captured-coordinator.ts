import { readFileSync } from 'node:fs';
import { type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import type { SignedObservation } from '@mecai/proto';
import {
  type IssueRequest,
  type IssueResponse,
  SignerServiceClient,
  type Subject,
} from '@mecai/proto/signer';
import type { Network } from '@mecai/test/network';

type Answer = NonNullable<IssueResponse['step']>;

/** Holds the coordinator's identity and does with it as it likes. */
export class CapturedCoordinator {
  readonly #client: SignerServiceClient;
  readonly #stream: ClientDuplexStream<IssueRequest, IssueResponse>;
  #id = 0;

  constructor({ signer, files }: Network) {
    const { certificate, key, ca } = files.coordinatorSvid;
    this.#client = new SignerServiceClient(
      signer.ready['grpc']!,
      // Whose identity the signer shows is not what this is about.
      credentials.createSsl(readFileSync(ca), readFileSync(key), readFileSync(certificate), {
        checkServerIdentity: () => undefined,
      }),
      { 'grpc.ssl_target_name_override': 'signer' },
    );
    this.#stream = this.#client.issue();
  }

  draw(subject: Subject): Promise<Answer> {
    return this.#ask({ $case: 'draw', draw: { subject } });
  }

  evidence(nonce: Uint8Array, observations: readonly SignedObservation[]): Promise<Answer> {
    return this.#ask({ $case: 'evidence', evidence: { nonce, observations: [...observations] } });
  }

  close(): void {
    this.#stream.end();
    this.#client.close();
  }

  #ask(step: NonNullable<IssueRequest['step']>): Promise<Answer> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const heard = (response: IssueResponse) => {
        if (response.id !== id || !response.step) return;
        this.#stream.off('data', heard).off('error', reject);
        resolve(response.step);
      };
      this.#stream.on('data', heard).once('error', reject);
      this.#stream.write({ id, step });
    });
  }
}
