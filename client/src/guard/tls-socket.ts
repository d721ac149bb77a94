/** A TLS connection of Node's own, and what it lets one see of the handshake. */
import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type PeerCertificate, type TLSSocket } from 'node:tls';
import type { Handshake } from '../checker.ts';
import { ClientError } from '../error.ts';

export type KeyType = 'rsa' | 'ecdsa';

export interface TlsOptions extends ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** HTTP/1.1 will be spoken: then the server's file of vouchers can be asked for. */
  readonly http?: boolean;
  readonly signal?: AbortSignal;
  /** TCP and TLS together, milliseconds. Default 10,000. */
  readonly handshakeMs?: number;
}

export interface TlsPeer {
  readonly socket: TLSSocket;
  readonly handshake: Handshake;
  readonly keyType: KeyType | undefined;
}

/** Offered alone, they make a server with two certificates show the one of that key. */
const signatureAlgorithms: Readonly<Record<KeyType, string>> = {
  rsa: [256, 384, 512].flatMap((n) => [`rsa_pss_rsae_sha${n}`, `rsa_pkcs1_sha${n}`]).join(':'),
  ecdsa: 'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519',
};

/**
 * Without session resumption, in which a server shows no certificates, and with a request for OCSP.
 *
 * @throws ClientError `unreachable`
 */
export async function openTls(options: TlsOptions, keyType?: KeyType): Promise<TlsPeer> {
  const { signal: outer, handshakeMs = 10_000, http = false, host, port, ...rest } = options;
  const timeout = AbortSignal.timeout(handshakeMs);
  const signal = outer ? AbortSignal.any([outer, timeout]) : timeout;
  const { session: _session, ...fresh } = rest;
  const socket = connect({
    minVersion: 'TLSv1.2',
    ...fresh,
    host,
    port,
    // No server name for an address (RFC 6066 section 3).
    servername: rest.servername ?? (isIP(host) === 0 ? host : ''),
    requestOCSP: true,
    ...(http && { ALPNProtocols: ['http/1.1'] }),
    ...(keyType && { sigalgs: signatureAlgorithms[keyType] }),
  });
  // While nobody else listens: what happens to the socket shows when it is used.
  socket.on('error', () => undefined);
  let ocsp: Buffer | undefined;
  socket.once('OCSPResponse', (response: Buffer | null) => {
    ocsp = response && response.length > 0 ? response : undefined;
  });
  try {
    await secured(socket, signal);
  } catch (cause) {
    socket.destroy();
    const why = timeout.aborted ? `no handshake within ${handshakeMs} ms` : messageOf(cause);
    throw new ClientError('unreachable', `${host}: ${why}`, { cause });
  }
  const handshake = { ...seenOf(socket), port, ...(ocsp && { ocsp }) };
  if (handshake.chain.length === 0) {
    socket.destroy();
    throw new ClientError('unreachable', `${host}: the server showed no certificate`);
  }
  return { socket, handshake, keyType: keyTypeOf(handshake.chain[0]) };
}

function secured(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: unknown) => {
      signal.removeEventListener('abort', abort);
      socket.off('error', end).off('close', closed).off('secureConnect', end);
      if (error === undefined) resolve();
      // oxlint-disable-next-line promise/prefer-promise-reject-errors -- whatever the socket says
      else reject(error);
    };
    const abort = () => end(signal.reason);
    const closed = () => end(new Error('the server closed the connection'));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort);
    socket
      .once('secureConnect', () => end())
      .once('error', end)
      .once('close', closed);
  });
}

/**
 * Node tells the chain that it made of the certificates sent, up to the anchor; what did not link is lost, and
 * whether the server sent its root as well. So a self-signed end is taken for what lies above the chain.
 */
function seenOf(socket: TLSSocket): Omit<Handshake, 'port'> {
  const chain: Uint8Array[] = [];
  const above: Uint8Array[] = [];
  let one: PeerCertificate & { issuerCertificate?: PeerCertificate } = socket.getPeerCertificate(true);
  const seen = new Set<unknown>();
  while (one?.raw && !seen.has(one) && seen.size < 10) {
    seen.add(one);
    const selfSigned = one.issuerCertificate === one || !one.issuerCertificate;
    (selfSigned && chain.length > 0 ? above : chain).push(one.raw);
    one = one.issuerCertificate!;
  }
  // Where the caller told Node to accept anything, what it built proves nothing.
  const proven = socket.authorized ? above : [];
  return { chain, above: proven, rebuiltChain: true, address: plainAddress(socket.remoteAddress ?? '') };
}

/** IPv4 over an IPv6 socket is IPv4. */
const plainAddress = (address: string): string =>
  /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address.replace(/%.*$/, '');

export function keyTypeOf(leaf: Uint8Array | undefined): KeyType | undefined {
  if (!leaf) return undefined;
  const { asymmetricKeyType } = new X509Certificate(leaf).publicKey;
  if (asymmetricKeyType === 'rsa' || asymmetricKeyType === 'rsa-pss') return 'rsa';
  return asymmetricKeyType === 'ec' || asymmetricKeyType === 'ed25519' ? 'ecdsa' : undefined;
}

export const otherKeyType = (keyType: KeyType): KeyType => (keyType === 'rsa' ? 'ecdsa' : 'rsa');

export const fingerprint = (certificate: Uint8Array): string =>
  createHash('sha256').update(certificate).digest('hex');

function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join('; ');
  return cause instanceof Error ? cause.message : String(cause);
}
