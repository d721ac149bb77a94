/** The signer's service in this process, over gRPC and mTLS, with the judgement of a test world behind it. */
import { credentials } from '@grpc/grpc-js';
import { SignerServiceClient } from '@mecai/proto/signer';
import { Svid, createLogger } from '@mecai/runtime';
import { type ServiceOptions, type SignerService, startService } from '../service.ts';
import { keyPem, pem, svid, testCa } from './certificates.ts';
import { operatorOf } from './operator.ts';
import { coordinator, type World } from './world.ts';

export const internalCa = testCa('Internal CA');

/** The credentials of a workload. */
export function tlsOf(id: string) {
  const own = svid(internalCa, id);
  return {
    certificate: Buffer.from(pem(own)),
    key: Buffer.from(keyPem(own)),
    ca: Buffer.from(pem(internalCa)),
  };
}

export const serveWorld = (world: World, changes: Partial<ServiceOptions> = {}): Promise<SignerService> =>
  startService({
    listen: '127.0.0.1:0',
    credentials: Svid.fixed(tlsOf('spiffe://mecai.test/signer')).serverCredentials(),
    terms: () => ({
      coordinators: [coordinator],
      issuance: world.issuance,
      operators: [],
      crlOctets: 1_048_576,
    }),
    operator: operatorOf(world),
    describe: () => ({
      certificates: [],
      registryVersion: world.registry.version,
      trustContexts: ['MOZ'],
      policy: world.parts.policy,
      links: [],
      renewals: [],
    }),
    directory: () => undefined,
    measures: { request: () => undefined, failed: () => undefined },
    log: createLogger('signer', 'silent'),
    ...changes,
  });

/** A client with this identity, a coordinator's by default. */
export function clientOf(port: number, id = coordinator): SignerServiceClient {
  const { ca, key, certificate } = tlsOf(id);
  const secure = credentials.createSsl(ca, key, certificate, { checkServerIdentity: () => undefined });
  return new SignerServiceClient(`127.0.0.1:${port}`, secure, {
    'grpc.ssl_target_name_override': 'signer',
    'grpc.enable_retries': 0,
  });
}
