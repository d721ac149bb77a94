/** HTTP with limits, through an address guard: CRLs, OCSP responses, and whatever else strangers' URLs name. */
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { PkiError } from './error.ts';

export interface FetchRequest {
  readonly url: string;
  /** POSTed where given, with this content type. */
  readonly body?: { readonly type: string; readonly octets: Uint8Array };
  /** A longer answer is refused. */
  readonly maxOctets: number;
}

/** Throws `unreachable` or `limit`; every status but 200 is `unreachable`. */
export type Fetch = (request: FetchRequest) => Promise<Uint8Array>;

export interface HttpRequest extends FetchRequest {
  /** Lower case; without `host` and those of the body, which are set. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly content: Uint8Array;
}

/** Answers with any status that is not a redirect. Throws `unreachable` or `limit`. */
export type HttpExchange = (request: HttpRequest) => Promise<HttpAnswer>;

export interface HttpFetchOptions {
  /** All addresses of a host name, as text. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** Whether an address may be connected to: private and special-purpose ones should not. */
  readonly isAllowed: (address: string) => boolean;
  /** For all of it: names, connections, redirects, content. Milliseconds. */
  readonly timeout?: number;
  readonly redirects?: number;
  /** Only https, redirects included. */
  readonly secure?: boolean;
  /** PEM of the roots that servers are judged by, instead of the public ones. */
  readonly ca?: string;
}

const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export function httpFetch(options: HttpFetchOptions): Fetch {
  const exchange = httpExchange(options);
  return async (request) => {
    const { status, content } = await exchange(request);
    if (status === 200) return content;
    throw new PkiError('unreachable', `${shown(request.url)}: status ${status}`);
  };
}

export function httpExchange(options: HttpFetchOptions): HttpExchange {
  const { timeout = 5_000, redirects = 3 } = options;
  return async (request) => {
    const signal = AbortSignal.timeout(timeout);
    try {
      let url = request.url;
      for (let hop = 0; hop <= redirects; hop++) {
        const answer = await once(request, url, options, signal);
        if ('content' in answer) return answer;
        url = answer.location;
      }
    } catch (cause) {
      if (cause instanceof PkiError) throw cause;
      const what = signal.aborted ? `no answer in ${timeout} ms` : 'request failed';
      throw new PkiError('unreachable', `${shown(request.url)}: ${what}`, { cause });
    }
    throw new PkiError('unreachable', `${shown(request.url)}: more than ${redirects} redirects`);
  };
}

async function once(
  request: HttpRequest,
  address: string,
  { resolve, isAllowed, secure = false, ca }: HttpFetchOptions,
  signal: AbortSignal,
): Promise<HttpAnswer | { location: string }> {
  const url = parseUrl(address);
  if (secure && url.protocol !== 'https:') {
    throw new PkiError('unreachable', `${shown(address)}: not https`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const addresses = isIP(host) ? [host] : await raced(resolve(host), signal);
  // The address that was judged is the one that is connected to, so a name cannot change in between.
  const target = addresses.find(isAllowed);
  if (target === undefined)
    throw new PkiError('unreachable', `${shown(address)}: no address that may be asked`);
  const answer = await send(request, url, target, signal, ca);
  const { statusCode: status = 0, headers } = answer;
  if (redirectStatuses.has(status) && headers.location !== undefined) {
    answer.destroy();
    if (!URL.canParse(headers.location, url)) throw new PkiError('unreachable', 'redirect to no URL');
    return { location: new URL(headers.location, url).href };
  }
  return { status, headers, content: await content(answer, request.maxOctets, address) };
}

function parseUrl(address: string): URL {
  if (!URL.canParse(address)) throw new PkiError('unreachable', 'not a URL');
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new PkiError('unreachable', `scheme ${url.protocol}`);
  }
  return url;
}

function send(
  request: HttpRequest,
  url: URL,
  target: string,
  signal: AbortSignal,
  ca: string | undefined,
): Promise<IncomingMessage> {
  const { body } = request;
  const secure = url.protocol === 'https:';
  const options: RequestOptions & { servername?: string; ca?: string } = {
    host: target,
    port: url.port || (secure ? 443 : 80),
    path: url.pathname + url.search,
    method: body ? 'POST' : 'GET',
    headers: {
      ...request.headers,
      host: url.host,
      ...(body && { 'content-type': body.type, 'content-length': body.octets.length }),
    },
    agent: false,
    signal,
    ...(secure && !isIP(url.hostname) && { servername: url.hostname }),
    ...(secure && ca !== undefined && { ca }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? httpsRequest : httpRequest)(options, resolve);
    outgoing.on('error', reject);
    outgoing.end(body?.octets);
  });
}

async function content(answer: IncomingMessage, maxOctets: number, address: string): Promise<Uint8Array> {
  const tooLong = () => new PkiError('limit', `${shown(address)}: longer than ${maxOctets} octets`);
  if (Number(answer.headers['content-length'] ?? 0) > maxOctets) {
    answer.destroy();
    throw tooLong();
  }
  const parts: Uint8Array[] = [];
  let octets = 0;
  for await (const part of answer) {
    if (!(part instanceof Uint8Array)) continue;
    octets += part.length;
    if (octets > maxOctets) throw tooLong();
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** Rejects when the signal aborts, whatever the promise does. */
export async function raced<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const done = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const abort = () => reject(new PkiError('unreachable', 'out of time'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { signal: done.signal });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    done.abort();
  }
}

/** A URL from a certificate, short and printable. */
const shown = (url: string) => url.slice(0, 200).replace(/[^\x21-\x7e]/g, '?');
