/**
 * VRP over HTTPS, after RFC 6960 appendix A:
 *
 *   POST /vrp        application/mecai-voucher-request or application/json; answered in the same kind, or as
 *                    Accept says
 *   GET  /vrp/nonce  a nonce for key proofs, application/octet-stream or application/json
 *
 * | status | when                                                                                   |
 * | ------ | -------------------------------------------------------------------------------------- |
 * | 200    | every chain has a result, whatever it is                                               |
 * | 400    | the request as a whole is refused: JSON gets a problem (RFC 9457), DER the VRP's answer |
 * | 403    | forbidden target, or a key proof that does not hold                                    |
 * | 413, 415, 404, 405 | too large, neither media type, not here, not so                            |
 * | 503    | signer, NATS or JetStream is away, or too many requests are in progress                |
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Server, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { contains, parseAddress, parsePrefix } from '@mecai/addresses';
import {
  type RefusalReason,
  type VoucherResponse,
  VoucherError,
  decodeVoucherRequest,
  decodeVoucherRequestJson,
  encodeVoucherResponse,
  encodeVoucherResponseJson,
  maxRequestOctets,
  mediaTypes,
} from '@mecai/voucher';
import type { Logger } from '@mecai/runtime';
import type { Nonces } from './nonces.ts';
import { type Answer, type Requester, type VrpHandler, refuse } from './vrp-handler.ts';

export interface VrpServer {
  readonly url: string;
  /** Finishes what is in progress, then closes. */
  close(): Promise<void>;
}

interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const bodyWithinMs = 10_000;

export async function startVrpServer(options: {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly certificate: Buffer; readonly key: Buffer };
  readonly handler: VrpHandler;
  readonly nonces: Nonces;
  readonly maxInFlight: number;
  readonly log: Logger;
}): Promise<VrpServer> {
  const { handler, nonces, log } = options;
  let inFlight = 0;

  const server: Server = createServer(
    {
      cert: options.tls.certificate,
      key: options.tls.key,
      minVersion: 'TLSv1.2',
      // Any certificate may be shown: what counts is whether it is the leaf asked about.
      requestCert: true,
      rejectUnauthorized: false,
      requestTimeout: bodyWithinMs,
      headersTimeout: bodyWithinMs,
      keepAliveTimeout: 60_000,
      maxHeaderSize: 8 * 1024,
    },
    (request, response) => {
      serve(request, response).catch((error: unknown) => {
        log.error({ err: error }, 'request failed');
        if (!response.headersSent)
          problem(response, { status: 500, title: 'Internal error', detail: 'see the log' });
      });
    },
  );

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?', 1)[0];
    if (path === '/vrp/nonce') {
      if (request.method !== 'GET') return problem(response, notAllowed('GET'));
      return sendNonce(request, response, nonces.issue(Date.now(), randomBytes));
    }
    if (path !== '/vrp')
      return problem(response, { status: 404, title: 'Not here', detail: 'try POST /vrp' });
    if (request.method !== 'POST') return problem(response, notAllowed('POST'));
    const type = mediaType(request.headers['content-type']);
    if (type !== mediaTypes.request && type !== mediaTypes.json) {
      return problem(response, {
        status: 415,
        title: 'Unsupported media type',
        detail: `send ${mediaTypes.request} or ${mediaTypes.json}`,
      });
    }
    if (inFlight >= options.maxInFlight) {
      return problem(response, {
        status: 503,
        title: 'Busy',
        detail: `${options.maxInFlight} requests are in progress`,
        headers: { 'retry-after': '1' },
      });
    }
    inFlight++;
    try {
      await serveVrp(request, response, type === mediaTypes.json);
    } finally {
      inFlight--;
    }
  }

  async function serveVrp(request: IncomingMessage, response: ServerResponse, json: boolean): Promise<void> {
    const body = await readBody(request);
    if (body === 'too-large') {
      // The rest is not read.
      response.shouldKeepAlive = false;
      return problem(response, {
        status: 413,
        title: 'Content too large',
        detail: `a request has at most ${maxRequestOctets} octets`,
      });
    }
    if (body === 'cut-off') return;
    const answerJson = prefersJson(request.headers.accept, json);
    let answer: Answer;
    try {
      const decoded = json ? decodeVoucherRequestJson(body) : decodeVoucherRequest(body);
      answer = await handler.handle(decoded, requesterOf(request.socket as TLSSocket));
    } catch (error) {
      if (!(error instanceof VoucherError)) throw error;
      answer = refuse('malformed', error.message);
    }
    send(response, answer, answerJson);
  }

  server.listen(options.port, options.host);
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const { address, port } = server.address() as AddressInfo;
  return {
    url: `https://${address.includes(':') ? `[${address}]` : address}:${port}/vrp`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

/** A refusal of the only chain, or of the request as a whole, sets the HTTP status; one of several does not. */
const wholeRequestStatus: Partial<Record<RefusalReason, number>> = {
  malformed: 400,
  'forbidden-target': 403,
  unauthenticated: 403,
  'rate-limited': 429,
};

function send(response: ServerResponse, { response: body, unavailable }: Answer, json: boolean): void {
  const status = statusOf(body, unavailable);
  const retryAfter = body.results[0]?.retryAfter;
  const headers = {
    'cache-control': 'no-store',
    ...(status >= 400 && retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  };
  const [only] = body.results;
  if (json && (status === 400 || status === 403) && only?.reason) {
    return problem(response, {
      status,
      title: `Refused: ${only.reason}`,
      detail: only.detail ?? '',
      headers,
    });
  }
  const bytes = json ? Buffer.from(encodeVoucherResponseJson(body)) : encodeVoucherResponse(body);
  response.writeHead(status, {
    ...headers,
    'content-type': json ? mediaTypes.json : mediaTypes.response,
    'content-length': bytes.length,
  });
  response.end(bytes);
}

function statusOf({ results }: VoucherResponse, unavailable: boolean): number {
  if (unavailable) return 503;
  const [only, ...others] = results;
  return (only?.reason && others.length === 0 && wholeRequestStatus[only.reason]) || 200;
}

/** RFC 9457. */
function problem(response: ServerResponse, { status, title, detail, headers }: Problem): void {
  const body = Buffer.from(`${JSON.stringify({ type: 'about:blank', title, status, detail })}\n`);
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/problem+json',
    'content-length': body.length,
  });
  response.end(body);
}

const notAllowed = (method: string): Problem => ({
  status: 405,
  title: 'Method not allowed',
  detail: `only ${method}`,
  headers: { allow: method },
});

function sendNonce(request: IncomingMessage, response: ServerResponse, nonce: Uint8Array): void {
  const json = prefersJson(request.headers.accept, false);
  const body = json ? JSON.stringify({ nonce: Buffer.from(nonce).toString('base64') }) : nonce;
  response.writeHead(200, {
    'content-type': json ? mediaTypes.json : 'application/octet-stream',
    'cache-control': 'no-store',
  });
  response.end(body);
}

const mediaType = (header: string | undefined): string | undefined =>
  header?.split(';', 1)[0]!.trim().toLowerCase();

/** Without a preference the answer is of the request's kind. */
function prefersJson(accept: string | undefined, otherwise: boolean): boolean {
  const accepted = accept?.split(',').map(mediaType) ?? [];
  if (accepted.includes(mediaTypes.response)) return false;
  return accepted.includes(mediaTypes.json) || otherwise;
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too-large' | 'cut-off'> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxRequestOctets) return 'too-large';
  const chunks: Buffer[] = [];
  let octets = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      octets += chunk.length;
      if (octets > maxRequestOctets) return 'too-large';
      chunks.push(chunk);
    }
  } catch {
    return 'cut-off';
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

// Reading a peer certificate costs, and it does not change within a connection.
const requesters = new WeakMap<TLSSocket, Requester>();

function requesterOf(socket: TLSSocket): Requester {
  const known = requesters.get(socket);
  if (known) return known;
  const clientCertificate = socket.getPeerX509Certificate()?.raw;
  const requester = {
    address: unmapped(parseAddress(socket.remoteAddress ?? '::')),
    ...(clientCertificate && { clientCertificate }),
  };
  requesters.set(socket, requester);
  return requester;
}

const mapped = parsePrefix('::ffff:0:0/96');

/** A dual-stack listener shows IPv4 peers as `::ffff:192.0.2.1`. */
const unmapped = (address: Uint8Array): Uint8Array =>
  contains(mapped, address) ? address.subarray(12) : address;
