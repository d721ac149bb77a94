/** The requester's side of the VRP. */
import {
  decodeVoucherResponse,
  encodeTbsVoucherRequest,
  encodeVoucherRequest,
  maxResponseOctets,
  mediaTypes,
  signKeyProof,
  type TbsVoucherRequest,
  VoucherError,
  type VoucherRequest,
  type VoucherResponse,
} from '@mecai/voucher';
import { hash, type KeyObject } from 'node:crypto';
import { Agent } from 'node:https';
import { ClientError } from './error.ts';
import { type Answer, exchange } from './https.ts';

export interface VaAgentOptions {
  /** PEM of the CAs that may have certified the VA's server; the system's by default. */
  readonly ca?: string;
  /** PEM certificates and key for TLS client authentication, the server's own: proof of its key. */
  readonly client?: { readonly certificates: string; readonly key: string };
}

/** Keeps connections open between requests; `destroy` it at the end. */
export const vaAgent = ({ ca, client }: VaAgentOptions = {}): Agent =>
  new Agent({
    keepAlive: true,
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca }),
    ...(client && { cert: client.certificates, key: client.key }),
  });

export interface RequestOptions extends VaAgentOptions {
  /** Used in place of one made for this request, `ca` and `client`. */
  readonly agent?: Agent;
  /** By position of the chain: the key of its leaf, to prove possession by a signature. */
  readonly keys?: readonly (KeyObject | undefined)[];
  /** For each of the one or two exchanges. Default 60,000: perspectives all over the world have to answer. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const nonceOctets = 1_024;

/**
 * Asks a VA for vouchers, one for each chain. With keys, a nonce is fetched from `<url>/nonce` first and the
 * request signed. Throws `ClientError`, and `VoucherError` `not-encodable` for a request that cannot be sent.
 */
export async function requestVoucher(
  url: string | URL,
  request: TbsVoucherRequest,
  options: RequestOptions = {},
): Promise<VoucherResponse> {
  const va = vaUrl(url);
  const agent = options.agent ?? vaAgent(options);
  const common = {
    agent,
    timeoutMs: options.timeoutMs ?? 60_000,
    ...(options.signal && { signal: options.signal }),
  };
  try {
    const body = encodeVoucherRequest(await withProofs());
    const answer = await exchange({
      ...common,
      url: va,
      method: 'POST',
      headers: { 'content-type': mediaTypes.request, accept: mediaTypes.response },
      body,
      maxOctets: maxResponseOctets,
    });
    return readResponse(answer, request);
  } finally {
    if (!options.agent) agent.destroy();
  }

  async function withProofs(): Promise<VoucherRequest> {
    const keys = options.keys ?? [];
    if (!keys.some((key) => key)) return request;
    const nonce = request.nonce ?? (await fetchNonce());
    const withNonce = { ...request, nonce };
    const tbs = encodeTbsVoucherRequest(withNonce);
    const proofs = keys.flatMap((key, chain) => (key ? [signKeyProof(tbs, chain, key)] : []));
    return { ...withNonce, proofs };
  }

  async function fetchNonce(): Promise<Uint8Array> {
    const answer = await exchange({
      ...common,
      url: new URL(`${va.pathname.replace(/\/$/, '')}/nonce`, va),
      method: 'GET',
      headers: { accept: 'application/octet-stream' },
      maxOctets: nonceOctets,
    });
    if (answer.status !== 200 || answer.type !== 'application/octet-stream')
      throw unexpected(answer, 'a nonce');
    return answer.body;
  }
}

/** @throws ClientError `bad-url` */
export function vaUrl(url: string | URL): URL {
  const text = url.toString();
  // URL.parse came with Node 22.
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed?.protocol !== 'https:') throw new ClientError('bad-url', `not an https URL: ${text}`);
  return parsed;
}

/** A VRP answer counts whatever the HTTP status: refusals have one of their own. */
function readResponse(answer: Answer, request: TbsVoucherRequest): VoucherResponse {
  if (answer.type !== mediaTypes.response) throw unexpected(answer, 'a voucher response');
  let response: VoucherResponse;
  try {
    response = decodeVoucherResponse(answer.body);
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('bad-response', cause.message, { cause });
  }
  const { results } = response;
  // A request that is refused as a whole has one result.
  const whole = results.length === 1 && results[0]!.status === 'refused';
  if (!whole && results.length !== request.chains.length) {
    throw new ClientError('bad-response', `${results.length} results for ${request.chains.length} chains`);
  }
  for (const [i, { leaf }] of results.entries()) {
    if (leaf && Buffer.compare(leaf, hash('sha256', request.chains[i]![0]!, 'buffer')) !== 0) {
      throw new ClientError('bad-response', `result ${i} is about another certificate`);
    }
  }
  return response;
}

/** In words: the problem's own (RFC 9457) if it has some. */
function unexpected({ status, type, body }: Answer, wanted: string): ClientError {
  if (type === 'application/problem+json') {
    const { title, detail } = problemOf(body);
    return new ClientError('problem', `HTTP ${status}: ${[title, detail].filter(Boolean).join(': ')}`);
  }
  return new ClientError(
    'bad-response',
    `HTTP ${status} with ${type || 'no media type'} in place of ${wanted}`,
  );
}

function problemOf(body: Buffer): { title: string; detail: string } {
  let problem: unknown;
  try {
    problem = JSON.parse(body.toString());
  } catch {
    problem = undefined;
  }
  const text = (name: string): string => {
    const value: unknown = typeof problem === 'object' && problem ? Reflect.get(problem, name) : undefined;
    return typeof value === 'string' ? printable(value).slice(0, 500) : '';
  };
  return { title: text('title') || 'a problem without a title', detail: text('detail') };
}

/** Foreign text on its way to a terminal: control characters, and those that turn text round, as `?`. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
