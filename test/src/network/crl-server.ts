/** CRLs of test CAs, published over HTTP as CAs do. */
import { createHash, randomUUID, sign } from 'node:crypto';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { constructed, der, implicit, parseCertificate } from '@mecai/pki';
import { type TestCertificate, testExtension } from '@mecai/voucher/testing';
import type { TestCa } from './certificates.ts';

export interface Revoked {
  readonly certificate: Pick<TestCertificate, 'der'>;
  /** CRLReason (RFC 5280 section 5.3.1). */
  readonly reason?: number;
}

export interface CrlOptions {
  readonly number: number;
  readonly revoked?: readonly Revoked[];
  readonly thisUpdate?: Date;
  /** A week after thisUpdate by default. */
  readonly nextUpdate?: Date;
  /** Entries of certificates that nobody has, to make it large. */
  readonly padding?: number;
}

const week = 7 * 86_400_000;

/** A complete CRL (RFC 5280 section 5.1), ECDSA with SHA-256. */
export function testCrl(ca: TestCertificate, options: CrlOptions): Uint8Array {
  const { number, revoked = [], thisUpdate = new Date(Date.now() - 60_000), padding = 0 } = options;
  const nextUpdate = options.nextUpdate ?? new Date(thisUpdate.getTime() + week);
  const algorithm = der.sequence(der.oid('1.2.840.10045.4.3.2'));
  const since = der.time(thisUpdate);
  const entries = [
    ...revoked.map(({ certificate, reason }) => {
      const { serial } = parseCertificate(certificate.der);
      const reasons = reason === undefined ? [] : [testExtension('2.5.29.21', false, der.enumerated(reason))];
      const extensions = reasons.length > 0 ? [der.sequence(...reasons)] : [];
      return der.sequence(der.unsignedInteger(serial), since, ...extensions);
    }),
    // Serial numbers of 16 octets, as CAs use them; none is that of a test certificate.
    ...Array.from({ length: padding }, (_, i) =>
      der.sequence(der.integer((0x5an << 120n) + BigInt(i) * 0x1_0000_0001n), since),
    ),
  ];
  const spki = ca.publicKey.export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha1').update(spki).digest();
  const extensions = der.sequence(
    testExtension('2.5.29.35', false, der.sequence(der.tlv(implicit(0), keyId))),
    testExtension('2.5.29.20', false, der.integer(number)),
  );
  const tbs = der.sequence(
    der.integer(1),
    algorithm,
    parseCertificate(ca.der).subject,
    since,
    der.time(nextUpdate),
    ...(entries.length > 0 ? [der.sequence(...entries)] : []),
    der.tlv(constructed(0), extensions),
  );
  return der.sequence(tbs, algorithm, der.bitString(sign('sha256', tbs, ca.privateKey)));
}

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

  static async start(): Promise<CrlServer> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return new CrlServer(server);
  }

  /** Where the CRL of the CA with this name is. */
  url(name: string = randomUUID()): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}.crl`;
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
