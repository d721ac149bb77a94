import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type TlsOptions, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { groups } from './key-exchange.ts';
import { TestCertificates } from './testing/certificates.ts';
import { at, chainOf, expectProven } from './testing/observed.ts';
import { portOf } from './testing/processes.ts';

// The pinned Node brings an OpenSSL younger than Debian's: ML-KEM and compressed certificates.

const certificates = new TestCertificates();
const leaf = certificates.issue('leaf', 'p256');
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => certificates.remove());

async function listening(options: TlsOptions, seen: (socket: TLSSocket) => void = (socket) => socket.end()) {
  const server = createServer({ cert: leaf.pem, key: readFileSync(leaf.keyPath), ...options }, seen);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: portOf(server) };
}

describe('X25519MLKEM768', () => {
  it.each([
    ['alone', 'X25519MLKEM768'],
    ['preferred', 'X25519MLKEM768/X25519'],
  ])('%s: the server asks for it by HelloRetryRequest', async (_, ecdhCurve) => {
    const { port } = await listening({ ecdhCurve });
    const result = await at(port);
    expectProven(result);
    expect([result.version, result.group]).toEqual([0x0304, groups.x25519MlKem768]);
  });

  it('as good as X25519: the share at hand is taken', async () => {
    const { port } = await listening({ ecdhCurve: 'X25519MLKEM768:X25519' });
    const result = await at(port);
    expectProven(result);
    expect(result.group).toBe(groups.x25519);
  });

  it('has no place in TLS 1.2', async () => {
    const { port } = await listening({ ecdhCurve: 'X25519MLKEM768:P-256', maxVersion: 'TLSv1.2' });
    const result = await at(port);
    expectProven(result);
    expect([result.version, result.group]).toEqual([0x0303, groups.secp256r1]);
  });
});

describe('compressed certificates (RFC 8879)', () => {
  const copies = 60;
  const options = { cert: leaf.pem.repeat(copies), ecdhCurve: 'X25519' };
  /** ServerHello, ChangeCipherSpec, EncryptedExtensions, Certificate in one piece, CertificateVerify, Finished. */
  const limits = { records: 6 };

  it.each(['zlib', 'brotli', 'zstd'] as const)('%s', async (algorithm) => {
    const { port } = await listening({ ...options, certificateCompression: [algorithm] });
    const result = await at(port, { limits });
    expectProven(result);
    expect(chainOf(result)).toEqual(Array.from({ length: copies }, () => leaf.der));
  });

  it('would not fit otherwise', async () => {
    const { port } = await listening(options);
    expect((await at(port, { limits })).error?.class).toBe('too-large');
  });
});

it('sees a finished handshake, a clean end, and the source address asked for', async () => {
  const ended = Promise.withResolvers<{ remote: string | undefined; name: unknown }>();
  const { server, port } = await listening({}, (socket) => {
    socket.on('error', ended.reject);
    socket.on('end', () => ended.resolve({ remote: socket.remoteAddress, name: socket.servername }));
    socket.resume();
  });
  server.on('tlsClientError', ended.reject);
  expectProven(await at(port, { localAddress: '127.0.0.9' }));
  expect(await ended.promise).toEqual({ remote: '127.0.0.9', name: 'localhost' });
});
