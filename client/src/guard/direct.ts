/**
 * The last resort: the client asks the chosen VAs itself. Each of them learns the client's address, which server it
 * is about to visit, and when; and the answer takes as long as a probe from all over the world.
 */
import { parseAddress } from '@mecai/addresses';
import type { Agent } from 'node:https';
import type { Candidate } from '../candidates.ts';
import type { Handshake } from '../checker.ts';
import type { Choice } from '../choice/choose.ts';
import { ClientError } from '../error.ts';
import { requestVoucher } from '../request.ts';

export interface DirectOptions {
  readonly agent?: Agent;
  /** Default 20,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Never rejects: a VA that does not answer, or does not vouch, gives no candidate. */
export async function askDirectly(
  { chain, address, port }: Handshake,
  serverName: string,
  choice: Choice,
  { timeoutMs = 20_000, ...options }: DirectOptions,
): Promise<Candidate[]> {
  const octets = parseAddress(address);
  const request = {
    ...(octets.length === 4 ? { ipv4: octets } : { ipv6: octets }),
    port,
    serverName,
    chains: [chain],
  };
  const answers = await Promise.all(
    choice.vas.map(async ({ vrp }) => {
      try {
        return (await requestVoucher(vrp, request, { ...options, timeoutMs })).results[0]?.voucher;
      } catch (error) {
        if (error instanceof ClientError) return undefined;
        throw error;
      }
    }),
  );
  return answers.flatMap((voucher) => (voucher ? [{ route: 'direct', voucher }] : []));
}
