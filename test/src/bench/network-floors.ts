/** What one voucher costs at least on this machine, here and now: the cryptography alone, and the handshakes by OpenSSL. */
import { spawn } from 'node:child_process';
import { diffieHellman, generateKeyPairSync, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { inTurns } from './figures.ts';

export interface Floor {
  readonly name: string;
  /** Microseconds of CPU. */
  readonly value: number;
}

const perspectives = 6;
/** Observations that decide: the signer verifies at least these, and the voucher itself once it is signed. */
const evidence = 4;

/**
 * By part.
 *
 * @param serverSeconds CPU of the server so far, seconds
 */
export async function floorsOf(
  address: string,
  port: number,
  serverSeconds: () => number,
): Promise<Readonly<Record<string, Floor>>> {
  const x25519 = generateKeyPairSync('x25519');
  const { agree } = await inTurns(5, { agree: () => cpu(() => diffieHellman(x25519)) });
  const signatures = await signatureCosts();
  const { client, server } = await handshakeByOpenssl(address, port, serverSeconds);
  const openssl = `${perspectives} handshakes by openssl s_time -new`;
  const { sign: signed, verify: verified } = signatures;
  return {
    signer: signerCryptography(signatures, evidence),
    agents: {
      name: `${perspectives} keys agreed, ${perspectives} signatures verified and made`,
      value: perspectives * (agree + verified + signed),
    },
    'nginx (target)': { name: openssl, value: perspectives * server },
    openssl: { name: openssl, value: perspectives * client },
  };
}

/** Microseconds of CPU a signature on P-256, made and verified. */
export interface SignatureCosts {
  readonly sign: number;
  readonly verify: number;
}

export function signatureCosts(): Promise<SignatureCosts> {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const observation = Buffer.alloc(2_048);
  const signature = sign('sha256', observation, key.privateKey);
  return inTurns(5, {
    sign: () => cpu(() => sign('sha256', observation, key.privateKey)),
    verify: () => cpu(() => verify('sha256', observation, key.publicKey, signature)),
  });
}

/** @param observations that the signer verifies; it verifies the voucher as well */
export const signerCryptography = (
  { sign: signed, verify: verified }: SignatureCosts,
  observations: number,
): Floor => ({
  name: `${observations + 1} signatures verified, one made`,
  value: (observations + 1) * verified + signed,
});

/** Microseconds of CPU an operation. */
function cpu(operation: () => unknown): number {
  const count = 500;
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) operation();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** Full handshakes for three seconds; microseconds of CPU each, of the client's user time alone. */
async function handshakeByOpenssl(address: string, port: number, serverSeconds: () => number) {
  const before = serverSeconds();
  const child = spawn('openssl', ['s_time', '-new', '-connect', `${address}:${port}`, '-time', '3'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  const [, count, seconds] = /(\d+) connections in ([\d.]+)s;/.exec(output) ?? [];
  if (count === undefined) throw new Error(`openssl s_time: ${output}`);
  return {
    client: (Number(seconds) * 1e6) / Number(count),
    server: ((serverSeconds() - before) * 1e6) / Number(count),
  };
}
