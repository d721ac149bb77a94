/** A coordinator that asks the real signer as fast as it answers, and does nothing else: draw, observe, evidence. */
import { type KeyObject, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { parseAddress } from '@mecai/addresses';
import { signObservation } from '@mecai/corroboration';
import type { SignedObservation } from '@mecai/proto';
import {
  type DescribeResponse,
  type Drawn,
  type IssueRequest,
  type IssueResponse,
  type Issued,
  SignerServiceClient,
} from '@mecai/proto/signer';
import type { Network } from '../network/index.ts';

export interface Endpoints {
  /** Textual; as many questions are open at a time as there are addresses. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly serverName: string;
  /** DER. */
  readonly chain: readonly Uint8Array[];
}

export class SignerDriver {
  readonly #endpoints: Endpoints;
  readonly #client: SignerServiceClient;
  readonly #stream: ClientDuplexStream<IssueRequest, IssueResponse>;
  /** Of the agents. */
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #waiting = new Map<number, (answer: IssueResponse['step']) => void>();
  #failed: Error | undefined;
  #requests = 0;

  constructor({ directory, signer, files, cities }: Network, endpoints: Endpoints) {
    this.#endpoints = endpoints;
    const keyOf = (agent: string) =>
      createPrivateKey(readFileSync(join(directory, `${agent}.observation.key`)));
    this.#keys = new Map(cities.map(({ name }) => [name, keyOf(name)]));
    const { certificate, key, ca } = files.coordinatorSvid;
    this.#client = new SignerServiceClient(
      signer.ready['grpc']!,
      credentials.createSsl(readFileSync(ca), readFileSync(key), readFileSync(certificate), {
        checkServerIdentity: () => undefined,
      }),
      { 'grpc.ssl_target_name_override': 'signer' },
    );
    this.#stream = this.#client.issue();
    this.#stream.on('data', ({ id, step }: IssueResponse) => {
      this.#waiting.get(id)?.(step);
      this.#waiting.delete(id);
    });
    this.#stream.on('error', (error) => {
      this.#failed = error;
      for (const answer of this.#waiting.values()) answer(undefined);
    });
  }

  describe(): Promise<DescribeResponse> {
    return new Promise((resolve, reject) =>
      this.#client.describe({}, (error, response) => (error ? reject(error) : resolve(response))),
    );
  }

  /**
   * @param evidence observations that are handed in with each draw
   * @returns vouchers
   * @throws Error for any other answer
   */
  async load(seconds: number, evidence: number): Promise<number> {
    const until = performance.now() + seconds * 1000;
    let issued = 0;
    await Promise.all(
      this.#endpoints.addresses.map(async (address) => {
        while (performance.now() < until) {
          await this.voucher(address, evidence);
          issued++;
        }
      }),
    );
    return issued;
  }

  /** @throws Error for any other answer */
  async voucher(address: string, evidence: number): Promise<{ drawn: Drawn; issued: Issued }> {
    const { port, serverName, chain } = this.#endpoints;
    const subject = {
      addresses: [parseAddress(address)],
      port,
      serverName,
      startTls: '',
      chain: [...chain],
    };
    const draw = await this.#ask({ $case: 'draw', draw: { subject } });
    if (draw?.$case !== 'drawn') throw this.#failed ?? new Error(`no draw: ${JSON.stringify(draw)}`);
    const { drawn } = draw;
    const observations = drawn.agents.slice(0, evidence).map((agent) => this.observation(agent, drawn));
    const answer = await this.#ask({ $case: 'evidence', evidence: { nonce: drawn.nonce, observations } });
    if (answer?.$case === 'issued') return { drawn, issued: answer.issued };
    throw this.#failed ?? new Error(`no voucher: ${JSON.stringify(answer)}`);
  }

  /** As an agent makes it of a handshake by TLS 1.3. */
  observation(agent: string, { nonce, targets }: Drawn): SignedObservation {
    const seen = {
      nonce,
      agent,
      target: targets[0],
      observedAt: Date.now(),
      chain: [...this.#endpoints.chain],
      possessionProven: true,
      tls: { version: 0x0304, cipherSuite: 0x1302, group: 29, signatureScheme: 0x0403, alpn: '' },
      ocsp: [],
      sctLists: [],
      timings: { connect: 300, firstByte: 1_500, proof: 2_100, end: 2_300 },
      failure: undefined,
    };
    return signObservation(seen, this.#keys.get(agent)!);
  }

  close(): void {
    this.#stream.end();
    this.#client.close();
  }

  #ask(step: NonNullable<IssueRequest['step']>): Promise<IssueResponse['step']> {
    const id = ++this.#requests;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#stream.write({ id, step });
    });
  }
}
