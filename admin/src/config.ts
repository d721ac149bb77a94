import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { Svid, createLogger, hostPort, mutualTls, path, spiffeId } from '@mecai/runtime';
import * as z from 'zod';

const service = () => z.strictObject({ address: hostPort(), id: spiffeId(), tls: mutualTls() });

/** One file for all commands; each reads what it needs. */
export const adminConfig = z.strictObject({
  /** All of them: what one does not hear, it does not enforce. */
  signers: z.array(service()).min(1).optional(),
  /** Any of those with the same database. */
  coordinator: service().optional(),
  /** API of analytics, and a token for it. */
  analytics: z.strictObject({ url: z.url({ protocol: /^https?$/ }), tokenFile: path() }).optional(),
});

/** @param what it is called where it shows another identity */
export function channelTo(
  what: 'signer' | 'coordinator',
  { address, id, tls }: z.output<ReturnType<typeof service>>,
): [string, ChannelCredentials, ChannelOptions] {
  const credentials = Svid.of(tls, createLogger('mecai-admin', 'silent')).clientCredentials(id);
  // Node refuses an IP address as SNI, and no host name counts here.
  return [address, credentials, { 'grpc.ssl_target_name_override': what }];
}
