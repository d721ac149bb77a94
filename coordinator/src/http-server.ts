/**
 * VRP over HTTPS, after RFC 6960 appendix A:
 *
 *   POST /vrp        application/mecai-voucher-request or application/json; answered in the same kind, or as
 *                    Accept says
 *   GET  /vrp/nonce  a nonce for key proofs, application/octet-stream or application/json
 *
 *
 * and what its routes offer (see http-routes.ts).
 *
 * | status | when                                                                                   |
 * | ------ | -------------------------------------------------------------------------------------- |
 * | 200    | every chain has a result, whatever it is                                               |
 * | 400    | the request as a whole is refused: JSON gets a problem (RFC 9457), DER the VRP's answer |
 * | 403    | forbidden target, or a key proof that is missing or does not hold                      |
 * | 404, 405, 408, 413, 415 | not here, not so, too slow, too large, another media type or coding: a problem |
 * | 429    | too many requests: the VRP's answer                                                    |
 * | 503    | signer, NATS or JetStream is away (the VRP's answer), or too many requests are in      |
 * |        | progress (a problem)                                                                   |
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  VoucherError,
  decodeVoucherRequest,
  decodeVoucherRequestJson,
  maxRequestOctets,
  mediaTypes,
} from '@mecai/voucher';
import {
  type Context,
  type Logger,
  SpanKind,
  type Telemetry,
  below,
  parentOf,
  traced,
  within,
} from '@mecai/runtime';
import { problems, sendAnswer, sendProblem } from './http-answers.ts';
import { isCoded, mediaType, prefersJson, readBody, requesterOf } from './http-requests.ts';
import type { PathServer } from './http-routes.ts';
import type { CoordinatorMeasures } from './measures.ts';
import type { Nonces } from './nonces.ts';
import { type Answer, type VrpHandler, refuse } from './vrp-handler.ts';

export interface VrpServer {
  readonly url: string;
  /** Requests being decided. */
  readonly inFlight: number;
  /** From now on each answer closes its connection, so that the next request comes on a new one, or elsewhere. */
  drain(): void;
  /** For connections to come. */
  useTls(tls: { readonly certificate: string | Buffer; readonly key: string | Buffer }): void;
  /** Finishes what is in progress, for so many milliseconds at most, and takes nothing new. */
  close(withinMs: number): Promise<void>;
}

const minVersion = 'TLSv1.2';

export async function startVrpServer(options: {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly certificate: string | Buffer; readonly key: string | Buffer };
  readonly handler: Pick<VrpHandler, 'handle'>;
  readonly nonces: Nonces;
  /** Besides the VRP. */
  readonly routes?: PathServer;
  /** Requests being decided at the same time. */
  readonly maxInFlight: () => number;
  /** For TLS handshake, headers and body, each. */
  readonly requestWithinMs?: number;
  readonly telemetry: Telemetry;
  readonly measures: Pick<CoordinatorMeasures, 'response'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}): Promise<VrpServer> {
  const { handler, nonces, log, now, telemetry, measures, maxInFlight, requestWithinMs = 10_000 } = options;
  let inFlight = 0;
  let closing = false;

  const server = createServer(
    {
      cert: options.tls.certificate,
      key: options.tls.key,
      minVersion,
      // Any certificate may be shown: what counts is whether it is the leaf asked about.
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: requestWithinMs,
      headersTimeout: requestWithinMs,
      // The body has a clock of its own, which answers with a problem; this is for what slips past it.
      requestTimeout: 2 * requestWithinMs,
      connectionsCheckingInterval: Math.min(requestWithinMs, 1_000),
      keepAliveTimeout: 60_000,
      maxHeaderSize: 8 * 1024,
    },
    (request, response) => {
      if (closing) response.shouldKeepAlive = false;
      serve(request, response).catch((error: unknown) => {
        log.error({ err: error }, 'request failed');
        if (response.headersSent) response.destroy();
        else sendProblem(response, problems.internal);
      });
    },
  );
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = request.url?.split('?', 1) ?? [];
    if (path === '/vrp/nonce') {
      if (request.method !== 'GET') return sendProblem(response, problems.notAllowed('GET'));
      return sendNonce(request, response, nonces.issue(now(), randomBytes));
    }
    if (path !== '/vrp') {
      const serveRoute = options.routes?.(path);
      return serveRoute ? serveRoute(request, response) : sendProblem(response, problems.notHere);
    }
    response.once('close', () => measures.response({ status: String(response.statusCode) }));
    if (request.method !== 'POST') return sendProblem(response, problems.notAllowed('POST'));
    const type = mediaType(request.headers['content-type']);
    if (type !== mediaTypes.request && type !== mediaTypes.json) {
      return sendProblem(response, problems.mediaType);
    }
    if (isCoded(request)) return sendProblem(response, problems.coded);
    const body = await readBody(request, requestWithinMs, maxRequestOctets);
    if (body === 'cut-off') return undefined;
    if (body === 'too-large') return sendProblem(response, problems.tooLarge(maxRequestOctets));
    if (body === 'too-slow') return sendProblem(response, problems.tooSlow(requestWithinMs));
    // Counted only from here on: slow senders keep nobody else out.
    if (inFlight >= maxInFlight()) return sendProblem(response, problems.busy(inFlight));
    inFlight++;
    try {
      const { traceparent } = request.headers;
      const parent = typeof traceparent === 'string' ? parentOf(traceparent) : undefined;
      const span = telemetry.span('POST /vrp', parent, SpanKind.SERVER);
      const trace = below(span);
      const answer = await within(span, () => answerTo(request, body, type === mediaTypes.json, trace)).catch(
        (error: unknown) => traced(log, trace).error({ err: error }, 'request failed'),
      );
      if (!answer) return sendProblem(response, problems.internal);
      if (closing) response.shouldKeepAlive = false;
      sendAnswer(response, answer, prefersJson(request.headers.accept, type === mediaTypes.json));
    } finally {
      inFlight--;
    }
    return undefined;
  }

  async function answerTo(
    request: IncomingMessage,
    body: Buffer,
    json: boolean,
    trace: Context | undefined,
  ): Promise<Answer> {
    if (!(request.socket instanceof TLSSocket)) throw new TypeError('not over TLS');
    const requester = requesterOf(request.socket);
    try {
      const decoded = json ? decodeVoucherRequestJson(body) : decodeVoucherRequest(body);
      return await handler.handle(decoded, requester, trace);
    } catch (error) {
      if (!(error instanceof VoucherError)) throw error;
      return refuse('malformed', error.message);
    }
  }

  server.listen(options.port, options.host);
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const at = server.address();
  if (at === null || typeof at === 'string') throw new TypeError('not on an IP address');
  return {
    url: `https://${at.family === 'IPv6' ? `[${at.address}]` : at.address}:${at.port}/vrp`,
    get inFlight() {
      return inFlight;
    },
    drain() {
      closing = true;
    },
    useTls: ({ certificate, key }) => server.setSecureContext({ cert: certificate, key, minVersion }),
    close(withinMs) {
      closing = true;
      return new Promise((resolve) => {
        const patience = setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, withinMs);
        server.close(() => {
          clearTimeout(patience);
          resolve();
        });
        server.closeIdleConnections();
      });
    },
  };
}

function sendNonce(request: IncomingMessage, response: ServerResponse, nonce: Uint8Array): void {
  const json = prefersJson(request.headers.accept, false);
  const body = json ? JSON.stringify({ nonce: Buffer.from(nonce).toString('base64') }) : nonce;
  response.writeHead(200, {
    'content-type': json ? mediaTypes.json : 'application/octet-stream',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}
