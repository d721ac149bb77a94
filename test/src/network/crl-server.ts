/** CRLs of test CAs, published over HTTP as CAs do. */
import { randomUUID } from 'node:crypto';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CrlOptions, testCrl } from '@mecai/voucher/testing';
import type { TestCa } from './certificates.ts';

/** Answers nothing, and keeps the connection. */
export const silence = 'silence';

export class CrlServer {
  readonly #server: Server;
  readonly #documents = new Map<string, Uint8Array | typeof silence>();
  readonly #numbers = new Map<string, number>();
  readonly #asked = new Map<string, number>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', ({ url = '' }: { url?: string }, response: ServerResponse) => {
      this.#asked.set(url, (this.#asked.get(url) ?? 0) + 1);
      const document = this.#documents.get(url);
      if (document === silence) return;
      if (document) response.writeHead(200, { 'content-type': 'application/pkix-crl' }).end(document);
      else response.writeHead(404).end();
    });
  }

  static async start(host = '127.0.0.1'): Promise<CrlServer> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, host, resolve);
    });
    return new CrlServer(server);
  }

  /** Where the CRL of the CA with this name is. */
  url(name: string = randomUUID()): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}/${name}.crl`;
  }

  /** Puts out a new CRL with the next number. */
  publish(ca: TestCa, options: Partial<CrlOptions> = {}): Uint8Array {
    const { pathname } = new URL(ca.crlUrl!);
    const number = options.number ?? (this.#numbers.get(pathname) ?? 0) + 1;
    this.#numbers.set(pathname, number);
    const crl = testCrl(ca, { ...options, number });
    this.#documents.set(pathname, crl);
    return crl;
  }

  /** Whatever octets in the place of the CRL, or silence. */
  put(ca: TestCa, document: Uint8Array | typeof silence): void {
    this.#documents.set(new URL(ca.crlUrl!).pathname, document);
  }

  /** How often it was asked for. */
  asked(ca: TestCa): number {
    return this.#asked.get(new URL(ca.crlUrl!).pathname) ?? 0;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
