/** What a request over HTTPS brings along: a body within limits, a requester, a wish for one media type. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { contains, parseAddress, parsePrefix } from '@mecai/addresses';
import { mediaTypes } from '@mecai/voucher';
import type { Requester } from './vrp-handler.ts';

/** After a request that is too large so much more is read: a client that is still sending misses our answer. */
const maxDiscardedOctets = 2 * 1024 * 1024;

export type Body = Buffer | 'too-large' | 'too-slow' | 'cut-off';

/** The body, once it is whole, or why it is not. Never rejects. */
export function readBody(request: IncomingMessage, withinMs: number, maxOctets: number): Promise<Body> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let octets = 0;
    let over = false;
    const timer = setTimeout(() => end('too-slow'), withinMs);
    const end = (body: Body) => {
      clearTimeout(timer);
      over = true;
      chunks.length = 0;
      resolve(body);
    };
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (over) {
        if (octets > maxDiscardedOctets) request.destroy();
      } else if (octets > maxOctets) end('too-large');
      else chunks.push(chunk);
    });
    request.once('end', () => {
      if (!over) end(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    // An error is always followed by this.
    request.once('close', () => {
      if (!over) end('cut-off');
    });
    request.once('error', () => undefined);
    if (Number(request.headers['content-length'] ?? 0) > maxOctets) end('too-large');
  });
}

export const mediaType = (header: string | undefined): string | undefined =>
  header?.split(';', 1)[0]!.trim().toLowerCase();

/** Whether the body would have to be decompressed first, which nothing here does. */
export const isCoded = ({ headers }: IncomingMessage): boolean =>
  !['', 'identity'].includes(headers['content-encoding']?.trim().toLowerCase() ?? '');

/**
 * Whether the answer is JSON (RFC 9110 section 12.5.1): the heavier weight wins, and without a preference the
 * answer is of the request's kind.
 */
export function prefersJson(accept: string | undefined, otherwise: boolean): boolean {
  const weights = { json: 0, der: 0 };
  for (const range of accept?.split(',') ?? []) {
    const weight = Number(/;\s*q=([\d.]+)/i.exec(range)?.[1] ?? 1);
    const type = mediaType(range);
    if (type === mediaTypes.json) weights.json = weight;
    if (type === mediaTypes.response) weights.der = weight;
  }
  return weights.json === weights.der ? otherwise : weights.json > weights.der;
}

// Reading a peer certificate costs, and it does not change within a connection.
const requesters = new WeakMap<TLSSocket, Requester>();

/** The peer. Its certificate is one whose key it has proven to hold, whoever issued it. */
export function requesterOf(socket: TLSSocket): Requester {
  const known = requesters.get(socket);
  if (known) return known;
  const clientCertificate = socket.getPeerX509Certificate()?.raw;
  // A link-local peer's address comes with its zone.
  const [text = '::'] = socket.remoteAddress?.split('%') ?? [];
  const requester = {
    address: unmapped(parseAddress(text)),
    ...(clientCertificate && { clientCertificate }),
  };
  requesters.set(socket, requester);
  return requester;
}

const mapped = parsePrefix('::ffff:0:0/96');

/** A dual-stack listener shows IPv4 peers as `::ffff:192.0.2.1`. */
const unmapped = (address: Uint8Array): Uint8Array =>
  contains(mapped, address) ? address.subarray(12) : address;
