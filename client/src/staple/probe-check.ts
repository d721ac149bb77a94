/** What a server really sends: each route of each target looked at from outside, as a client would. */
import { probe, type ProbeResult } from '@mecai/tls-probe';
import {
  bundleLimits,
  bundlePath,
  decodeVoucherBundle,
  VoucherError,
  vouchersInOcspResponse,
} from '@mecai/voucher';
import { createPublicKey } from 'node:crypto';
import { parseCertificate } from '@mecai/pki';
import { request } from 'node:https';
import type { VaEntry } from '../va-list/va-list.ts';
import { addressesOf, endpointText, type Target } from './targets.ts';

export interface Served {
  readonly target: Target;
  readonly address: string;
  /** Words for each route: what arrived, or why nothing did. */
  readonly extensions: string;
  readonly ocsp: string;
  readonly wellKnown: string;
  /** Every voucher at hand arrived in the handshake, with the certificate it is about. */
  readonly complete: boolean;
}

export interface CheckParts {
  readonly vas: readonly VaEntry[];
  readonly vouchersOf: (target: Target) => ReadonlyMap<string, Uint8Array>;
  readonly wellKnown: boolean;
  readonly timeoutMs: number;
}

/** One line for each address of the target. */
export async function checkServed(target: Target, parts: CheckParts): Promise<Served[]> {
  const served: Served[] = [];
  for (const address of addressesOf(target)) {
    const result = await probe(
      {
        address,
        port: target.port,
        ...(target.name !== undefined && { serverName: target.name }),
        ...(target.startTls && { startTls: target.startTls }),
      },
      { keyType: keyTypeOf(target), extensions: parts.vas.map(({ codepoint }) => codepoint) },
    );
    served.push({ target, address, ...(await judged(result, address, target, parts)) });
  }
  return served;
}

async function judged(result: ProbeResult, address: string, target: Target, parts: CheckParts) {
  const { vas, vouchersOf } = parts;
  if (result.error) {
    const words = `no handshake: ${result.error.detail}`;
    return { extensions: words, ocsp: '-', wellKnown: '-', complete: false };
  }
  const sameChain =
    result.chain.length === target.chain.length &&
    result.chain.every((one, i) => Buffer.compare(one, target.chain[i]!) === 0);
  if (!sameChain) {
    const words = 'the server sends other certificates than its files hold: reload it';
    return { extensions: words, ocsp: '-', wellKnown: '-', complete: false };
  }
  const held = vouchersOf(target);
  const wrong = vas.filter(({ id, codepoint }) => {
    const sent = result.extensions.get(codepoint);
    const wanted = held.get(id);
    return wanted && (!sent || Buffer.compare(sent, wanted) !== 0);
  });
  const known = vas.filter(({ codepoint }) => result.extensions.has(codepoint)).length;
  const extensions =
    wrong.length === 0
      ? `${held.size} of ${held.size} vouchers, ${known} of ${vas.length} types`
      : `not those of ${wrong.map(({ id }) => id).join(', ')}; ${known} of ${vas.length} types`;
  const [response] = result.ocspResponses.filter(({ certificate }) => certificate === 0);
  const inside = response ? vouchersInOcspResponse(response.der).length : undefined;
  return {
    extensions,
    ocsp: inside === undefined ? 'no response' : `${inside} vouchers`,
    wellKnown: parts.wellKnown
      ? await bundleWords(address, target, held.size, parts.timeoutMs)
      : 'not configured',
    complete: wrong.length === 0 && held.size > 0,
  };
}

/** Certificates are not judged here: that is what the vouchers are for. */
async function bundleWords(
  address: string,
  target: Target,
  wanted: number,
  timeoutMs: number,
): Promise<string> {
  try {
    const { status, body } = await fetchBundle(address, target, timeoutMs);
    if (status !== 200) return `HTTP ${status} for ${bundlePath(target.chain[0]!)}`;
    return `${decodeVoucherBundle(body).length} of ${wanted} vouchers`;
  } catch (error) {
    if (error instanceof VoucherError) return 'not the file that was written';
    return error instanceof Error ? error.message : String(error);
  }
}

function fetchBundle(
  address: string,
  { name, port, chain }: Target,
  timeoutMs: number,
): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: address,
        port,
        path: bundlePath(chain[0]!),
        headers: { host: name ?? address },
        ...(name !== undefined && { servername: name }),
        rejectUnauthorized: false,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let octets = 0;
        response.on('data', (chunk: Buffer) => {
          octets += chunk.length;
          if (octets > bundleLimits.octets) response.destroy(new Error('a bundle too long'));
          else chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

function keyTypeOf({ chain }: Target): 'rsa' | 'ecdsa' | 'any' {
  const spki = Buffer.from(parseCertificate(chain[0]!).spki);
  const type = createPublicKey({ key: spki, format: 'der', type: 'spki' }).asymmetricKeyType;
  if (type === 'rsa') return 'rsa';
  return type === 'ec' ? 'ecdsa' : 'any';
}

export const servedText = ({ target, address, ...words }: Served): string =>
  `${target.name ?? '(no name)'} at ${address}, ${endpointText(target)}\n` +
  `  handshake    ${words.extensions}\n  OCSP slot    ${words.ocsp}\n  well-known   ${words.wellKnown}\n`;
