/** An HTTPS server for tests that staples vouchers as stock servers do: in the OCSP slot and in its own files. */
import { augmentOcspResponse, voucherContainer } from '@mecai/voucher';
import { testKey, type TestCertificate, testOcsp } from '@mecai/voucher/testing';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { pem, portOf } from '../test-va-server.ts';
import { serverCertificate, webIntermediate } from './world.ts';

export interface ServedCertificate {
  readonly leaf: TestCertificate;
  /** Vouchers for containers in the OCSP response. */
  readonly slot?: readonly Uint8Array[];
}

export interface TestServerOptions {
  readonly certificates?: readonly ServedCertificate[];
  /** Sent behind each leaf. */
  readonly above?: readonly TestCertificate[];
  /** Answers what is below /.well-known/mecai/; 404 without it. */
  readonly bundle?: (path: string, response: ServerResponse) => void;
  readonly keepAlive?: boolean;
}

export interface SeenRequest {
  readonly url: string;
  readonly host: string;
  /** Source port: which connection. */
  readonly connection: number;
}

const hour = 3_600_000;
const { privateKey: containerKey } = testKey();

export function ocspWith(leaf: TestCertificate, vouchers: readonly Uint8Array[], at: Date): Uint8Array {
  const [notBefore, notAfter] = [new Date(at.getTime() - hour), new Date(at.getTime() + hour)];
  const response = testOcsp({
    about: leaf,
    issuer: webIntermediate,
    thisUpdate: notBefore,
    nextUpdate: notAfter,
  });
  const containers = vouchers.map((voucher, i) =>
    voucherContainer({ voucher, key: containerKey, notBefore, notAfter, serial: Uint8Array.of(i + 1) }),
  );
  return augmentOcspResponse(response, containers);
}

/** Listens on 127.0.0.1. What it shows may be changed while it runs. */
export async function startServer(options: TestServerOptions = {}) {
  const state = { ...options, certificates: options.certificates ?? [{ leaf: serverCertificate() }] };
  const above = options.above ?? [webIntermediate];
  const requests: SeenRequest[] = [];
  let connections = 0;
  const server = createServer(
    {
      cert: state.certificates.map(({ leaf }) => pem(leaf.der, ...above.map(({ der }) => der))),
      key: state.certificates.map(({ leaf }) => leaf.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    },
    (request, response) => {
      const { url = '', headers, socket } = request;
      requests.push({ url, host: headers.host ?? '', connection: socket.remotePort ?? 0 });
      if (state.keepAlive === false) response.shouldKeepAlive = false;
      if (!url.startsWith('/.well-known/mecai/')) return void response.end('hello');
      if (state.bundle) return state.bundle(url, response);
      response.writeHead(404).end('nothing here');
    },
  );
  server.on(
    'OCSPRequest',
    (certificate: Buffer, _issuer: Buffer, done: (e: null, r: Buffer | null) => void) => {
      const shown = state.certificates.find(({ leaf }) => certificate.equals(leaf.der));
      done(null, shown?.slot ? Buffer.from(ocspWith(shown.leaf, shown.slot, new Date())) : null);
    },
  );
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: portOf(server),
    requests,
    get connections() {
      return connections;
    },
    show: (changes: TestServerOptions) => void Object.assign(state, changes),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

export type TestServer = Awaited<ReturnType<typeof startServer>>;
