import { parseAddress } from '@mecai/addresses';
import type { TbsVoucherRequest } from '@mecai/voucher';
import { type Endpoint, serverCertificate, tlsServer } from '../network/index.ts';
import type { Regions } from './regions.ts';

export interface Site {
  readonly request: TbsVoucherRequest;
  readonly endpoint: Endpoint;
}

/** A server to ask about. */
export async function openSite(
  { pki: { webIntermediate }, fabric }: Regions,
  serverName: string,
): Promise<Site> {
  const leaf = serverCertificate(webIntermediate, { dns: [serverName] });
  const endpoint = await tlsServer([leaf, webIntermediate], fabric.host);
  return {
    endpoint,
    request: {
      ipv4: parseAddress(fabric.host),
      port: endpoint.port,
      serverName,
      chains: [[leaf.der, webIntermediate.der]],
    },
  };
}
