import { execFileSync } from 'node:child_process';
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const keyKinds = ['p256', 'p384', 'p521', 'rsa', 'rsa-pss', 'ed25519', 'ed448'] as const;
export type KeyKind = (typeof keyKinds)[number];

const keyArguments: Record<KeyKind, readonly string[]> = {
  p256: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  p521: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
  rsa: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  'rsa-pss': ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'],
  ed25519: ['-algorithm', 'ED25519'],
  ed448: ['-algorithm', 'ED448'],
};

export interface Issued {
  readonly der: Buffer;
  readonly pem: string;
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly key: KeyObject;
}

/** A root, an issuer below it, and a leaf of each kind, issued by the root when first asked for. */
export class TestHierarchy {
  readonly #files: TestCertificates;
  readonly #leaves = new Map<KeyKind, Issued>();
  readonly root: Issued;
  readonly issuer: Issued;

  constructor(files: TestCertificates) {
    this.#files = files;
    // RSA on purpose: who asks for an ECDSA leaf must not exclude its issuer's signature.
    this.root = files.issue('root', 'rsa');
    this.issuer = files.issue('issuer', 'p256', this.root);
  }

  leaf(kind: KeyKind): Issued {
    let leaf = this.#leaves.get(kind);
    if (!leaf) {
      leaf = this.#files.issue(kind, kind, this.root);
      this.#leaves.set(kind, leaf);
    }
    return leaf;
  }
}

/** Certificates made by openssl in a directory that is removed by `remove`. */
export class TestCertificates {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'tls-probe-'));

  issue(name: string, kind: KeyKind, issuer?: Issued, configuration = ''): Issued {
    const openssl = (...args: readonly string[]) =>
      execFileSync('openssl', args, { cwd: this.directory, stdio: 'pipe' });
    const keyPath = this.path(`${name}.key`);
    const certificatePath = this.path(`${name}.pem`);
    openssl('genpkey', ...keyArguments[kind], '-out', keyPath);
    openssl('req', '-new', '-key', keyPath, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    const signer = issuer ? ['-CA', issuer.certificatePath, '-CAkey', issuer.keyPath] : ['-signkey', keyPath];
    writeFileSync(this.path(`${name}.ext`), `subjectAltName=DNS:localhost\n${configuration}`);
    const outcome = ['-days', '30', '-extfile', `${name}.ext`, '-out', certificatePath];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signer, ...outcome);
    const pem = readFileSync(certificatePath, 'utf8');
    return {
      der: new X509Certificate(pem).raw,
      pem,
      certificatePath,
      keyPath,
      key: createPrivateKey(readFileSync(keyPath)),
    };
  }

  /** Writes a file of certificates in this order, and gives its path. */
  bundle(name: string, ...certificates: readonly Issued[]): string {
    return this.write(name, certificates.map(({ pem }) => pem).join(''));
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
