/** A piece of internet on loopback: what a connection reaches depends on where it comes from. */
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type TestCertificate, keyPem, pem } from './certificates.ts';

export interface Endpoint {
  readonly port: number;
  close(): Promise<void>;
}

/** A TLS server that shows exactly these certificates, leaf first. */
export async function tlsServer(
  chain: readonly [TestCertificate, ...TestCertificate[]],
  host = '127.0.0.1',
): Promise<Endpoint> {
  const server = createTlsServer({ cert: pem(...chain), key: keyPem(chain[0]) }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.end();
  });
  server.on('tlsClientError', () => undefined);
  return listen(server, host, 0);
}

/**
 * A path to `host:port` for everyone; connections for which `interceptor` names another port are led there
 * instead, as by a router on the way.
 */
export async function route(
  host: string,
  genuine: Endpoint,
  interceptor: (from: string) => Endpoint | undefined,
): Promise<Endpoint> {
  const server = createServer((client) => {
    const { port } = interceptor(client.remoteAddress ?? '') ?? genuine;
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
    }
    const reset = () => {
      client.destroy();
      upstream.destroy();
    };
    client.on('error', reset).pipe(upstream);
    upstream.on('error', reset).pipe(client);
    client.on('close', () => upstream.end());
  });
  return listen(server, host, 0);
}

async function listen(server: Server, host: string, port: number): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(port, host);
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  return {
    port: (server.address() as AddressInfo).port,
    // Who has connected and said nothing would keep it open.
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
