/** A client whose TLS stack sends extensions: the handshake by the probe, the judgement by the library. */
import {
  type Candidate,
  type Choice,
  type ClientPolicy,
  Guard,
  type Outcome,
  type ServerCode,
  type VaList,
  candidatesFromExtensions,
  defaultPolicy,
} from '@mecai/client';
import { probe } from '@mecai/tls-probe';
import { randomBytes } from 'node:crypto';
import { serverAddress } from './stock-servers.ts';

export interface ClientOptions {
  readonly list: VaList;
  readonly policy?: Partial<ClientPolicy>;
  /** Milliseconds that the client's clock is ahead. */
  readonly ahead?: number;
  readonly random?: (octets: number) => Uint8Array;
}

export const guardOf = ({ list, policy = {}, ahead = 0, random = randomBytes }: ClientOptions): Guard =>
  new Guard({
    list,
    policy: { ...defaultPolicy, ...policy },
    now: () => new Date(Date.now() + ahead),
    random,
  });

export interface Connected {
  readonly outcome: Outcome;
  readonly choice: Choice;
  readonly codes: readonly ServerCode[];
}

export interface Connecting {
  readonly port: number;
  readonly address?: string;
  readonly keyType?: 'rsa' | 'ecdsa';
  /** Where the client is: what it reaches may depend on it. */
  readonly localAddress?: string;
  /** Vouchers that came some other way. */
  readonly candidates?: readonly Candidate[];
}

/** One connection that asks for the vouchers of the VAs chosen for it. */
export async function connect(guard: Guard, connecting: Connecting): Promise<Connected> {
  const { port, address = serverAddress, keyType = 'any', localAddress, candidates = [] } = connecting;
  const choice = guard.choose(address);
  const { chain, extensions, error, possessionProven } = await probe(
    { address, port, serverName: 'www.shop.test' },
    {
      keyType,
      extensions: choice.vas.map(({ codepoint }) => codepoint),
      ...(localAddress !== undefined && { localAddress }),
    },
  );
  if (error || !possessionProven) throw new Error(`no handshake: ${error?.detail}`);
  const found = [...candidatesFromExtensions(extensions), ...candidates];
  const outcome = await guard.check('www.shop.test', { chain, address, port }, found, choice);
  return { outcome, choice, codes: [...new Set(outcome.check.failures.map(({ code }) => code))] };
}
