import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { der, implicit } from '@mecai/pki';
import {
  type DescribeRequest,
  type DescribeResponse,
  type DistrustRecord,
  type GetDirectoryRequest,
  type GetDirectoryResponse,
  type IssueRequest,
  type IssueResponse,
  SignerServiceService,
  type WatchDistrustRequest,
  type WatchDistrustResponse,
  type WatchRegistryRequest,
  type WatchRegistryResponse,
} from '@mecai/proto/signer';
import { keyUsages, testCertificate, testExtension } from '@mecai/voucher/testing';
import { keyPemOf, pemOf } from './chains.ts';
import type { TestSigner } from './signer.ts';

const ca = testCertificate({ subject: 'Internal CA', ca: true, keyUsage: keyUsages.keyCertSign });

/** Certificate and key of a workload, as files. */
export function svidFiles(directory: string, id: string) {
  const names = der.sequence(der.tlv(implicit(6), Buffer.from(id)));
  const certificate = testCertificate({
    subject: id,
    issuer: ca,
    keyUsage: keyUsages.digitalSignature,
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'],
    extensions: [testExtension('2.5.29.17', false, names)],
  });
  const write = (name: string, text: string | Buffer) => {
    const file = join(directory, `${id.split('/').at(-1)}.${name}`);
    writeFileSync(file, text);
    return file;
  };
  return {
    certificate: write('pem', pemOf(certificate)),
    key: write('key', keyPemOf(certificate)),
    ca: write('ca', pemOf(ca)),
    pem: {
      certificate: Buffer.from(pemOf(certificate)),
      key: Buffer.from(keyPemOf(certificate)),
      ca: Buffer.from(pemOf(ca)),
    },
  };
}

export interface SignerServer {
  readonly port: number;
  /** Answers nothing from now on. */
  deaf: boolean;
  streams: number;
  directoriesAsked: number;
  registryVersion: number;
  /** Of the VA's own certificates. */
  links: DescribeResponse['links'];
  renewals: DescribeResponse['renewals'];
  /** What whoever watches is told; without one, nothing. */
  registry: Uint8Array | undefined;
  updateRegistry(file: string): void;
  /** Tells whoever watches, now and later. */
  distrust(...records: readonly DistrustRecord[]): void;
  /** Breaks every connection, and listens no more. */
  kill(): void;
}

/** The signer's service over gRPC and mTLS, without its judgement. */
export async function startSignerServer(
  signer: TestSigner,
  pem: { certificate: Buffer; key: Buffer; ca: Buffer },
  port = 0,
): Promise<SignerServer> {
  const server = new Server();
  const distrusted: DistrustRecord[] = [];
  const registryWatchers = new Set<ServerWritableStream<WatchRegistryRequest, WatchRegistryResponse>>();
  const watchers = new Set<ServerWritableStream<WatchDistrustRequest, WatchDistrustResponse>>();
  server.addService(SignerServiceService, {
    issue(call: ServerDuplexStream<IssueRequest, IssueResponse>) {
      state.streams++;
      call.on('error', () => undefined);
      call.on('end', () => call.end());
      call.on('data', ({ id, step }: IssueRequest) => {
        if (!state.deaf) void answer(signer, step).then((answered) => call.write({ id, step: answered }));
      });
    },
    watchDistrust(call: ServerWritableStream<WatchDistrustRequest, WatchDistrustResponse>) {
      watchers.add(call);
      call.on('cancelled', () => watchers.delete(call));
      call.write({ records: [...distrusted], complete: true });
    },
    watchRegistry(call: ServerWritableStream<WatchRegistryRequest, WatchRegistryResponse>) {
      registryWatchers.add(call);
      call.on('cancelled', () => registryWatchers.delete(call));
      if (state.registry) call.write({ registry: state.registry, signature: new Uint8Array() });
    },
    describe(
      _: ServerUnaryCall<DescribeRequest, DescribeResponse>,
      respond: sendUnaryData<DescribeResponse>,
    ) {
      if (state.deaf) return;
      const { policy } = signer;
      respond(null, {
        certificates: [],
        registryVersion: state.registryVersion,
        trustContexts: [],
        policy,
        links: state.links,
        renewals: state.renewals,
      });
    },
    getDirectory(
      { request }: ServerUnaryCall<GetDirectoryRequest, GetDirectoryResponse>,
      respond: sendUnaryData<GetDirectoryResponse>,
    ) {
      state.directoriesAsked++;
      if (request.version > 1) respond({ code: status.NOT_FOUND });
      else respond(null, { document: Buffer.from('signed directory') });
    },
  });
  const credentials = ServerCredentials.createSsl(
    pem.ca,
    [{ private_key: pem.key, cert_chain: pem.certificate }],
    true,
  );
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, found) =>
      error ? reject(error) : resolve(found),
    ),
  );
  const state: SignerServer = {
    port: bound,
    deaf: false,
    streams: 0,
    directoriesAsked: 0,
    registryVersion: 1,
    links: [],
    renewals: [],
    registry: undefined,
    updateRegistry(file) {
      state.registry = Buffer.from(file);
      for (const call of registryWatchers)
        call.write({ registry: state.registry, signature: new Uint8Array() });
    },
    distrust(...records) {
      distrusted.push(...records);
      for (const call of watchers) call.write({ records: [...records], complete: false });
    },
    kill: () => server.forceShutdown(),
  };
  return state;
}

async function answer(
  signer: TestSigner,
  step: IssueRequest['step'],
): Promise<NonNullable<IssueResponse['step']>> {
  if (step?.$case === 'draw') {
    const drawn = await signer.draw(step.draw.subject!);
    return 'refused' in drawn ? { $case: 'refused', refused: drawn.refused } : { $case: 'drawn', drawn };
  }
  const { nonce, observations } = step!.evidence;
  const issued = await signer.issue(nonce, observations);
  return 'refused' in issued ? { $case: 'refused', refused: issued.refused } : { $case: 'issued', issued };
}
