/** A small VA for tests: TLS, nonces, key proofs and vouchers are real, only the perspectives are not asked. */
import {
  decodeVoucherRequest,
  encodeVoucherResponse,
  mediaTypes,
  type ReceivedVoucherRequest,
  verifyKeyProof,
  type VoucherResponse,
} from '@mecai/voucher';
import { keyUsages, testCertificate, testVa, testVoucher } from '@mecai/voucher/testing';
import { hash, randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Server } from 'node:net';
import { TLSSocket } from 'node:tls';

export const pem = (...certificates: readonly Uint8Array[]): string =>
  certificates
    .map((one) => Buffer.from(one).toString('base64').replace(/.{64}/g, '$&\n'))
    .map((body) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`)
    .join('');

/** Of a server that listens. */
export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('not listening');
  return address.port;
}

const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');

export interface Seen {
  readonly request: ReceivedVoucherRequest;
  /** By chain: whether a key proof over a nonce of ours held, or TLS client authentication. */
  readonly proven: readonly boolean[];
  /** Source port, to tell connections apart. */
  readonly connection: number;
}

/** What a test wants answered in place of vouchers. */
export type Override = (request: IncomingMessage, response: ServerResponse) => void;

export interface TestVaOptions {
  /** When vouchers are produced; the time of `testVoucher` by default. */
  readonly now?: () => Date;
}

export async function startTestVa({ now = () => testVoucher.producedAt }: TestVaOptions = {}) {
  const va = testVa();
  // A name of its own: OpenSSL looks for issuers by name.
  const tlsCa = testCertificate({
    subject: `Test TLS CA ${randomUUID()}`,
    ca: true,
    keyUsage: keyUsages.keyCertSign,
  });
  const server = testCertificate({ subject: 'VA server', issuer: tlsCa, dnsNames: ['localhost'] });
  const nonces = new Set<string>();
  const seen: Seen[] = [];
  const state: { override: Override | undefined; renewal: string | undefined } = {
    override: undefined,
    renewal: undefined,
  };

  const https = createServer(
    {
      cert: pem(server.der),
      key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      if (state.override) return state.override(request, response);
      void answer(request, response);
    },
  );
  await new Promise<void>((resolve) => https.listen(0, 'localhost', resolve));
  const port = portOf(https);

  return {
    va,
    url: `https://localhost:${port}/vrp`,
    tlsCaPem: pem(tlsCa.der),
    seen,
    answerWith: (override?: Override) => void (state.override = override),
    /** What its renewal information says; without any it has no such resource. */
    announce: (renewal?: string) => void (state.renewal = renewal),
    close: () => {
      https.close();
      https.closeAllConnections();
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/vrp/nonce') {
      const nonce = randomBytes(24);
      nonces.add(nonce.toString('hex'));
      response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(nonce);
      return;
    }
    if (request.url === '/vrp/renewal') {
      const { renewal } = state;
      if (renewal === undefined) return void response.writeHead(404).end();
      return void response
        .writeHead(200, { 'content-type': mediaTypes.json, 'retry-after': '10' })
        .end(renewal);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const decoded = decodeVoucherRequest(Buffer.concat(chunks));
    const { socket } = request;
    if (!(socket instanceof TLSSocket)) throw new Error('no TLS');
    const client = socket.getPeerX509Certificate()?.raw;
    const nonceGood =
      decoded.nonce !== undefined && nonces.delete(Buffer.from(decoded.nonce).toString('hex'));
    const proven = decoded.chains.map(([leaf], chain) => {
      const proof = decoded.proofs?.find((one) => one.chain === chain);
      if (client) return Buffer.compare(client, leaf!) === 0;
      return nonceGood && proof !== undefined && verifyKeyProof(decoded.tbs, proof, leaf!);
    });
    seen.push({ request: decoded, proven, connection: socket.remotePort ?? 0 });
    const body = encodeVoucherResponse(vouchersFor(decoded));
    response.writeHead(200, { 'content-type': mediaTypes.response }).end(body);
  }

  function vouchersFor({ ipv4, ipv6, port: serverPort, chains }: ReceivedVoucherRequest): VoucherResponse {
    const { ipv4: _4, ipv6: _6, ...rest } = testVoucher;
    const producedAt = new Date(Math.floor(now().getTime() / 1_000) * 1_000);
    const notAfter = new Date(producedAt.getTime() + 86_400_000);
    return {
      results: chains.map(([leaf, ...intermediates]) => ({
        leaf: sha256(leaf!),
        status: 'issued',
        voucher: va.issue({
          ...rest,
          producedAt,
          notAfter,
          ...(ipv4 && { ipv4 }),
          ...(ipv6 && { ipv6 }),
          port: serverPort,
          leaf: sha256(leaf!),
          intermediates: intermediates.map(sha256),
          status: [],
          perspectives: testVoucher.perspectives.map(({ country, rir, asn }) => ({
            country,
            rir,
            asn,
            ...(ipv4 && { ipv4: 'match' }),
            ...(ipv6 && { ipv6: 'match' }),
          })),
        }),
        perspectives: testVoucher.perspectives.map(({ country, rir, asn }) => ({
          country,
          rir,
          asn,
          ipv4: { verdict: 'match' },
        })),
      })),
    };
  }
}

export type TestVaServer = Awaited<ReturnType<typeof startTestVa>>;
