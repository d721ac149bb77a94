/** Apart from the index, since it brings gRPC along. */
import { makeGenericClientConstructor } from '@grpc/grpc-js';
import * as generated from '../gen/mecai/v1/signer.ts';
import { serializer } from './encoded.ts';

export * from '../gen/mecai/v1/signer.ts';

/** As generated, but for the messages of each voucher, which are serialized with less effort. */
export const SignerServiceService = {
  ...generated.SignerServiceService,
  issue: {
    ...generated.SignerServiceService.issue,
    requestSerialize: serializer(generated.IssueRequest),
    responseSerialize: serializer(generated.IssueResponse),
  },
};

export type SignerServiceClient = generated.SignerServiceClient;
export const SignerServiceClient = makeGenericClientConstructor(
  SignerServiceService,
  'mecai.v1.SignerService',
) as unknown as typeof generated.SignerServiceClient;
