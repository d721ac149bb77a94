/** A CA of `openssl ca`, with its CRL and its responder (`openssl ocsp`). */
import { readFileSync } from 'node:fs';
import { type Certificate, pemBlocks, pemCertificates } from '../index.ts';
import { OpenSsl } from './openssl.ts';

/** Extensions of a leaf: CRL and responder, or the responder only. */
export type LeafSources = 'both' | 'ocsp';

const config = (url: string) => `
[ca]
default_ca = own
[own]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
unique_subject = no
[any]
commonName = supplied
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[both]
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth
subjectAltName = DNS:www.example.com
crlDistributionPoints = URI:${url}/ca.crl
authorityInfoAccess = OCSP;URI:${url}/ocsp
[ocsp]
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth
subjectAltName = DNS:www.example.com
authorityInfoAccess = OCSP;URI:${url}/ocsp
`;

const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';

export class OpenSslCa implements Disposable {
  readonly #openssl = new OpenSsl();
  readonly certificate: Certificate;

  /** `url` is where `/ca.crl` and `/ocsp` will be asked for. */
  constructor(url: string) {
    this.#openssl.write('ca.cnf', config(url));
    this.#openssl.write('index.txt', '');
    this.#openssl.write('serial', '1000');
    this.#openssl.write('crlnumber', '01');
    this.#run(
      `req -x509 ${newKey} -keyout ca.key -out ca.pem -subj /CN=Own-CA -days 365 -config ca.cnf -extensions root`,
    );
    this.certificate = this.#certificate('ca.pem');
  }

  issue(name: string, sources: LeafSources): Certificate {
    this.#run(`req ${newKey} -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`);
    this.#run(`ca -batch -config ca.cnf -extensions ${sources} -in ${name}.csr -out ${name}.pem -notext`);
    return this.#certificate(`${name}.pem`);
  }

  /** Of a certificate issued, PEM. */
  privateKey(name: string): string {
    return readFileSync(this.#openssl.path(`${name}.key`), 'utf8');
  }

  revoke(name: string): void {
    this.#run(`ca -config ca.cnf -revoke ${name}.pem -crl_reason keyCompromise`);
  }

  /** The responder then knows nothing of it. */
  forget(name: string): void {
    const index = readFileSync(this.#openssl.path('index.txt'), 'utf8');
    this.#openssl.write('index.txt', index.replace(new RegExp(`^.*/CN=${name}\n`, 'm'), ''));
  }

  /** A new CRL, DER. */
  crl(): Uint8Array {
    this.#run('ca -config ca.cnf -gencrl -out crl.pem');
    return pemBlocks(readFileSync(this.#openssl.path('crl.pem'), 'utf8'), 'X509 CRL')[0]!;
  }

  /** The responder's answer, DER. */
  async respond(request: Uint8Array): Promise<Uint8Array> {
    this.#openssl.write('request.der', request);
    const line =
      'ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -reqin request.der -respout response.der -nmin 60';
    const { code, output } = await this.#openssl.attempt(...line.split(' '));
    if (code !== 0) throw new Error(output);
    return Uint8Array.from(readFileSync(this.#openssl.path('response.der')));
  }

  [Symbol.dispose](): void {
    this.#openssl[Symbol.dispose]();
  }

  #run(line: string): void {
    this.#openssl.run(...line.split(' '));
  }

  #certificate(name: string): Certificate {
    return pemCertificates(readFileSync(this.#openssl.path(name), 'utf8'))[0]!;
  }
}
