/** Targets for tests. */
import { generateKeyPairSync } from 'node:crypto';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { type TlsOptions, createServer as createTlsServer } from 'node:tls';
import { type TestCertificate, testCertificate } from '@mecai/voucher/testing';

export interface TestServer {
  readonly port: number;
  /** Addresses that connected. */
  readonly peers: string[];
  /** How the first TLS handshake ended for the server. */
  readonly handshake: Promise<'finished' | 'broken off'>;
  /** Resolves with the first connection. */
  readonly connected: Promise<void>;
  close(): Promise<void>;
}

export const ecdsa = testCertificate({ subject: 'ecdsa', dnsNames: ['www.example.org'] });
export const rsa = testCertificate({
  subject: 'rsa',
  issuer: ecdsa,
  key: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  dnsNames: ['www.example.org'],
});

export const pem = (certificate: TestCertificate) => {
  const lines = Buffer.from(certificate.der)
    .toString('base64')
    .match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
};
export const key = ({ privateKey }: TestCertificate) => privateKey.export({ format: 'pem', type: 'pkcs8' });

/** Shows the certificate whose key the client's signature algorithms fit. */
export const tlsServer = (certificates: readonly TestCertificate[], options: TlsOptions = {}) => {
  const handshake = Promise.withResolvers<'finished' | 'broken off'>();
  const server = createTlsServer(
    { cert: certificates.map(pem), key: certificates.map(key), ...options },
    (socket) => {
      handshake.resolve('finished');
      socket.on('error', () => socket.destroy());
      socket.end();
    },
  );
  server.on('tlsClientError', () => handshake.resolve('broken off'));
  return listen(server, handshake.promise);
};

/** Accepts, and never says a word. */
export const silentServer = () => listen(createServer(() => undefined));

async function listen(
  server: Server,
  handshake: TestServer['handshake'] = new Promise(() => undefined),
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const peers: string[] = [];
  const first = Promise.withResolvers<void>();
  server.on('connection', (socket: Socket) => {
    first.resolve();
    peers.push(socket.remoteAddress ?? '');
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port }: AddressInfo = JSON.parse(JSON.stringify(server.address()));
  return {
    port,
    peers,
    handshake,
    connected: first.promise,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
