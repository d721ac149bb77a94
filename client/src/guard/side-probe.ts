/** Vouchers from TLS extensions, on a second connection to the same address: node:tls cannot ask for them. */
import { type KeyType as ProbeKeyType, probe } from '@mecai/tls-probe';
import { type Candidate, candidatesFromExtensions } from '../candidates.ts';
import type { Handshake } from '../checker.ts';
import type { Choice } from '../choice/choose.ts';

export interface SideProbe {
  readonly candidates: readonly Candidate[];
  /** The chain as sent, which node:tls does not tell; absent if the server showed another certificate here. */
  readonly handshake?: Handshake;
}

/** Never rejects. What is taken from the second connection is bound to the first by the certificate. */
export async function probeBeside(
  handshake: Handshake,
  serverName: string | undefined,
  choice: Choice,
  keyType: ProbeKeyType,
): Promise<SideProbe> {
  const { address, port } = handshake;
  const seen = await probe(
    { address, port, ...(serverName !== undefined && { serverName }) },
    { keyType, extensions: choice.vas.map(({ codepoint }) => codepoint) },
  );
  const [leaf] = seen.chain;
  const same = leaf && seen.possessionProven && Buffer.compare(leaf, handshake.chain[0]!) === 0;
  if (!same) return { candidates: [] };
  const candidates = candidatesFromExtensions(seen.extensions);
  const { rebuiltChain: _, ...rest } = handshake;
  // What Node built must come from what was sent.
  const built = handshake.chain.every((one) => seen.chain.some((sent) => Buffer.compare(sent, one) === 0));
  return built ? { candidates, handshake: { ...rest, chain: seen.chain } } : { candidates: [] };
}
