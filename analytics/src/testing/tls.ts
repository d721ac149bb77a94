import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { type Server, createServer } from 'node:tls';

/** Files of PEM. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate for localhost that only it itself vouches for. */
export const makeTls = (directory: string): TlsFiles =>
  make(directory, 'tls', '/CN=localhost', 'subjectAltName=DNS:localhost');

/** A CA; all of them have one name, so that only signatures tell them apart. */
export const makeCa = (directory: string, name: string): TlsFiles =>
  make(directory, name, '/CN=Internal CA', 'keyUsage=critical,keyCertSign');

/** What the CA issues for a server, by default for the address of tests. */
export const issueTls = (directory: string, name: string, ca: TlsFiles, subject = 'IP:127.0.0.1'): TlsFiles =>
  make(directory, name, '/CN=server', `subjectAltName=${subject}`, '-CA', ca.certificate, '-CAkey', ca.key);

function make(
  directory: string,
  name: string,
  subject: string,
  extension: string,
  ...by: readonly string[]
): TlsFiles {
  const [certificate, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  const options = 'req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256'.split(' ');
  const names = ['-subj', subject, '-addext', extension, '-keyout', key, '-out', certificate];
  execFileSync('openssl', [...options, ...names, ...by], { stdio: 'ignore' });
  return { certificate, key };
}

/** TLS in front of a server that has none. */
export class TlsFront {
  readonly #server: Server;

  constructor(port: number, { certificate, key }: TlsFiles) {
    const files = { cert: readFileSync(certificate), key: readFileSync(key) };
    this.#server = createServer(files, (near) => {
      const far = connect(port, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const)
        one.on('error', () => other.destroy()).pipe(other);
    });
    // A client that does not trust it.
    this.#server.on('tlsClientError', () => {});
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
  }
}
