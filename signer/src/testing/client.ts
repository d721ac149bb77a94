import { type ClientDuplexStream, type ServiceError, credentials } from '@grpc/grpc-js';
import {
  type DescribeResponse,
  type Drawn,
  type IssueRequest,
  type IssueResponse,
  RevocationEvidenceKind,
  SignerServiceClient,
  type Subject,
  type SupplyResponse,
} from '@mecai/proto/signer';
import { refusalName } from '../refusal.ts';
import { type Observed, chainOf, observe, subjectOf, todaysLeaf, webIntermediate } from './world.ts';

type Step = NonNullable<IssueResponse['step']>;

/** A coordinator at a signer process: asks one thing at a time, by the clock on the wall. */
export class TestCoordinator {
  readonly client: SignerServiceClient;
  readonly #stream: ClientDuplexStream<IssueRequest, IssueResponse>;
  #id = 0;
  #failed: ServiceError | undefined;

  constructor(address: string, tls: { certificate: Buffer; key: Buffer; ca: Buffer }) {
    const secure = credentials.createSsl(tls.ca, tls.key, tls.certificate, {
      checkServerIdentity: () => undefined,
    });
    this.client = new SignerServiceClient(address, secure, { 'grpc.ssl_target_name_override': 'signer' });
    this.#stream = this.client.issue();
    this.#stream.on('error', (error: ServiceError) => (this.#failed = error));
  }

  ask(step: IssueRequest['step']): Promise<Step> {
    if (this.#failed) return Promise.reject(this.#failed);
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const take = (response: IssueResponse) => {
        if (response.id !== id || !response.step) return;
        this.#stream.off('data', take);
        this.#stream.off('error', reject);
        resolve(response.step);
      };
      this.#stream.on('data', take);
      this.#stream.once('error', reject);
      this.#stream.write({ id, step });
    });
  }

  /** The draw, or the name of the refusal. */
  async draw(changes: Partial<Subject> = {}): Promise<Drawn | string> {
    const subject = { ...subjectOf(), chain: chainOf(todaysLeaf, webIntermediate), ...changes };
    const step = await this.ask({ $case: 'draw', draw: { subject } });
    return step.$case === 'drawn' ? step.drawn : nameOf(step);
  }

  /** Hands in a CRL in pieces of this many octets; what became of it. */
  supply({ nonce }: Drawn, link: number, crl: Uint8Array, pieceOctets = 1_000_000): Promise<SupplyResponse> {
    const kind = RevocationEvidenceKind.REVOCATION_EVIDENCE_KIND_CRL;
    return new Promise((resolve, reject) => {
      const call = this.client.supply((error, response) => (error ? reject(error) : resolve(response)));
      for (let at = 0; at < crl.length; at += pieceOctets) {
        call.write({ nonce, link, kind, piece: crl.subarray(at, at + pieceOctets) });
      }
      call.end();
    });
  }

  /** Evidence of this many agents, all matching. */
  async prove(drawn: Drawn, matching: number, changes: Observed = {}): Promise<Step> {
    const observations = drawn.agents.slice(0, matching).map((agent) =>
      observe(agent, drawn, {
        chain: chainOf(todaysLeaf, webIntermediate),
        observedAt: Date.now(),
        ...changes,
      }),
    );
    return this.ask({ $case: 'evidence', evidence: { nonce: drawn.nonce, observations } });
  }

  /** `issued`, or the name of the refusal. */
  async voucher(matching = 4, changes: Observed = {}): Promise<string> {
    const drawn = await this.draw();
    return typeof drawn === 'string' ? drawn : nameOf(await this.prove(drawn, matching, changes));
  }

  describe(): Promise<DescribeResponse> {
    return new Promise((resolve, reject) =>
      this.client.describe({}, (error, response) => (error ? reject(error) : resolve(response))),
    );
  }

  close(): void {
    this.#stream.cancel();
    this.client.close();
  }
}

/** The kind of answer; of a refusal its name. */
export const nameOf = (step: Step): string =>
  step.$case === 'refused' ? refusalName(step.refused.code) : step.$case;
