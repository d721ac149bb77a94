import { type Prefix, forbiddenTarget, formatAddress } from '@mecai/addresses';
import { isDnsName } from '@mecai/pki';
import { RefusalCode, type Subject } from '@mecai/proto/signer';
import { maxRequestOctets, startTlsProtocols, vrpLimits } from '@mecai/voucher';
import { hex } from './digest.ts';
import { RefusedError } from './refusal.ts';

/**
 * Whether a subject makes sense at all, before anything is spent on it. What passes has one spelling: a second
 * one would be another endpoint to whoever counts draws.
 *
 * @param allowedTargets special-purpose ranges that may be probed all the same
 * @throws RefusedError `malformed`, `forbidden-target`
 */
export function checkSubject(subject: Subject, allowedTargets: readonly Prefix[]): void {
  const { addresses, port, serverName, startTls, chain } = subject;
  const lengths = addresses.map(({ length }) => length).join();
  if (!['4', '16', '4,16'].includes(lengths))
    throw malformed('one IPv4 and/or one IPv6 address, in this order');
  if (port < 1 || port > 65_535) throw malformed('port');
  // RFC 6066 section 3: a DNS name in A-labels, without the final period. Probes send it as it stands here.
  if (!isDnsName(serverName) || serverName !== serverName.toLowerCase()) throw malformed('server name');
  if (startTls !== '' && !startTlsProtocols.some((known) => known === startTls))
    throw malformed('STARTTLS protocol');
  if (chain.length === 0 || chain.length > vrpLimits.certificates)
    throw malformed(`1 to ${vrpLimits.certificates} certificates`);
  // A longer chain cannot have come in a voucher request; draws keep chains in memory.
  if (chain.reduce((octets, der) => octets + der.length, 0) > maxRequestOctets)
    throw malformed(`a chain of more than ${maxRequestOctets} octets`);
  for (const address of addresses) {
    const reason = forbiddenTarget(address, allowedTargets);
    if (reason !== undefined) throw new RefusedError(RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET, reason);
  }
}

const malformed = (detail: string) => new RefusedError(RefusalCode.REFUSAL_CODE_MALFORMED, detail);

/**
 * What draws are counted by: the leaf at each address. One endpoint for both addresses would let a coordinator
 * start a fresh count with every other address it puts beside the one it wants.
 */
export function endpointsOf({ addresses, port }: Subject, leafDigest: Uint8Array): string[] {
  const leaf = hex(leafDigest);
  return addresses.map((address) => `${leaf} ${formatAddress(address)} ${port}`);
}
