/** Stands in for a signer: answers draws and evidence with what the real one has said once, and looks at nothing. */
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import {
  type DescribeResponse,
  type Drawn,
  type IssueRequest,
  type IssueResponse,
  type Issued,
  SignerServiceService,
  type SupplyRequest,
  type SupplyResponse,
  type WatchDistrustResponse,
  type WatchRegistryResponse,
} from '@mecai/proto/signer';

/** What the real one has said. */
export interface Said {
  readonly description: DescribeResponse;
  readonly drawn: Drawn;
  readonly issued: Issued;
  /** File of the perspectives. */
  readonly registry: Buffer;
}

export interface LeanSigner {
  readonly address: string;
  /** Of all that were handed in since the last time it was asked, for each voucher. */
  evidence(): number;
  stop(): void;
}

/** @param tls files with its SVID, PEM */
export async function startLeanSigner(
  tls: { readonly certificate: string; readonly key: string; readonly ca: string },
  { description, drawn, issued, registry }: Said,
): Promise<LeanSigner> {
  const counted = { observations: 0, vouchers: 0 };
  const answer = (step: IssueRequest['step']): IssueResponse['step'] => {
    if (step?.$case === 'draw')
      return { $case: 'drawn', drawn: { ...drawn, nonce: randomFillSync(Buffer.alloc(32)) } };
    counted.vouchers++;
    if (step?.$case === 'evidence') counted.observations += step.evidence.observations.length;
    return { $case: 'issued', issued };
  };
  const server = new Server();
  server.addService(SignerServiceService, {
    issue(call: ServerDuplexStream<IssueRequest, IssueResponse>) {
      call.on('data', ({ id, step }: IssueRequest) => call.write({ id, step: answer(step) }));
      call.on('end', () => call.end());
      call.on('error', () => undefined);
    },
    supply(
      call: ServerReadableStream<SupplyRequest, SupplyResponse>,
      respond: sendUnaryData<SupplyResponse>,
    ) {
      call.resume().on('end', () => respond(null, { accepted: true, detail: '' }));
    },
    watchDistrust: (call: ServerWritableStream<unknown, WatchDistrustResponse>) =>
      void call.write({ records: [], complete: true }),
    watchRegistry: (call: ServerWritableStream<unknown, WatchRegistryResponse>) =>
      void call.write({ registry, signature: Buffer.alloc(0) }),
    describe: (_: ServerUnaryCall<unknown, DescribeResponse>, respond: sendUnaryData<DescribeResponse>) =>
      respond(null, description),
    getDirectory: (_: unknown, respond: sendUnaryData<never>) => respond(new Error('there is none here')),
  });
  const pair = { private_key: readFileSync(tls.key), cert_chain: readFileSync(tls.certificate) };
  const credentials = ServerCredentials.createSsl(readFileSync(tls.ca), [pair], true);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  return {
    address: `127.0.0.1:${port}`,
    evidence() {
      const mean = counted.observations / counted.vouchers;
      Object.assign(counted, { observations: 0, vouchers: 0 });
      return mean;
    },
    stop: () => server.forceShutdown(),
  };
}
