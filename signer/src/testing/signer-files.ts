/** A directory with all that a signer process needs, on a SoftHSM token of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createPublicKey } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DerReader, constructed, tags } from '@mecai/pki';
import { oids } from '@mecai/voucher';
import {
  type TestCertificate,
  type TestCertificateOptions,
  keyUsages,
  testCertificate,
} from '@mecai/voucher/testing';
import { keyPem, pem, svid, testCa } from './certificates.ts';
import { type SoftHsm, createSoftHsm } from './soft-hsm.ts';
import { coordinator, registryText, webRoot } from './world.ts';

const main = join(import.meta.dirname, '../main.ts');

export interface Tls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

export interface SignerFiles {
  readonly soft: SoftHsm;
  readonly config: string;
  readonly vaRoot: TestCertificate;
  readonly vaIntermediate: TestCertificate;
  readonly internalCa: TestCertificate;
  at(name: string): string;
  write(name: string, text: string): string;
  /** A directory of trust contexts, PEM by identifier. */
  contexts(name: string, pemOf: Readonly<Record<string, string>>): string;
  /** Another configuration: these members over the usual ones. */
  configure(changes: object): string;
  /** The credentials of whoever has these URIs in a certificate of the internal CA, or of another. */
  identity(uris?: readonly string[], ca?: TestCertificate): Tls;
  /** A command of the ceremony. */
  run(...args: readonly string[]): { code: number | null; out: string; err: string };
  /** keygen, csr, certificate from the test CA, install-certificate. */
  ceremony(): void;
  /** `va`'s certificate for the key of a certification request in PEM. */
  certify(csr: string, changes?: Partial<TestCertificateOptions>): TestCertificate;
  serve(options?: { config?: string; before?: readonly string[] }): Promise<RunningSigner>;
  remove(): void;
}

export interface RunningSigner {
  readonly child: ChildProcess;
  readonly grpc: string;
  readonly admin: string;
  /** What it has logged so far. */
  log(): string;
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>;
}

export function createSignerFiles(): SignerFiles {
  const soft = createSoftHsm();
  const at = (name: string) => join(soft.directory, name);
  const write = (name: string, text: string) => {
    writeFileSync(at(name), text, { mode: 0o600 });
    return at(name);
  };
  // Processes start twice as fast when the stripped sources are kept.
  const environment = { ...process.env, ...soft.environment, NODE_COMPILE_CACHE: at('compiled') };
  const vaRoot = testCa('VA Root');
  const vaIntermediate = testCertificate({
    subject: 'VA Issuing CA',
    issuer: vaRoot,
    ca: true,
    pathLength: 0,
    keyUsage: keyUsages.keyCertSign,
  });
  const internalCa = testCa('Internal CA');
  const own = svid(internalCa, 'spiffe://mecai.test/signer');
  const contexts: SignerFiles['contexts'] = (name, pemOf) => {
    for (const [id, text] of Object.entries(pemOf)) {
      mkdirSync(at(`${name}/${id}`), { recursive: true });
      write(`${name}/${id}/roots.pem`, text);
    }
    return at(name);
  };
  const usual = {
    listen: '127.0.0.1:0',
    tls: {
      certificate: write('signer.pem', pem(own)),
      key: write('signer.key', keyPem(own)),
      ca: write('internal-ca.pem', pem(internalCa)),
    },
    coordinators: [coordinator],
    admin: '127.0.0.1:0',
    hsm: { module: soft.module, token: 'test', key: 'va', pinFile: write('pin', `${soft.pin}\n`) },
    vaCertificate: at('va-chain.pem'),
    ownCa: [write('va-root.pem', pem(vaRoot))],
    registry: write('registry.json', registryText()),
    trustContexts: contexts('trust', { MOZ: pem(webRoot) }),
    auditLog: at('audit.jsonl'),
    drainMs: 0,
    // The certificates here name no CRL.
    revocation: { policy: 'allow-unknown' },
  };
  let configurations = 0;
  const configure = (changes: object) =>
    write(`signer-${++configurations}.json`, JSON.stringify({ ...usual, ...changes }));
  const config = configure({});

  const run = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      env: environment,
      encoding: 'utf8',
    });
    return { code: status, out: stdout, err: stderr };
  };
  const certify = (csr: string, changes: Partial<TestCertificateOptions> = {}) =>
    testCertificate({
      subject: 'Test VA',
      issuer: vaIntermediate,
      key: { publicKey: requestedKey(csr), privateKey: vaRoot.privateKey },
      serial: 77,
      crlUrl: 'http://crl.test/va.crl',
      keyUsage: keyUsages.digitalSignature,
      extendedKeyUsage: [oids.voucherSigning],
      ...changes,
    });
  const must = (result: ReturnType<typeof run>) => {
    if (result.code !== 0) throw new Error(result.err);
    return result.out;
  };
  return {
    soft,
    config,
    vaRoot,
    vaIntermediate,
    internalCa,
    at,
    write,
    contexts,
    configure,
    identity(uris = [coordinator], ca = internalCa) {
      const certificate = svid(ca, ...uris);
      return {
        certificate: Buffer.from(pem(certificate)),
        key: Buffer.from(keyPem(certificate)),
        ca: Buffer.from(pem(internalCa)),
      };
    },
    run,
    ceremony() {
      must(run('keygen', '--config', config));
      const csr = must(run('csr', '--config', config, '--subject', 'O=Test CA,CN=Test VA'));
      const chain = write('va.pem', pem(certify(csr), vaIntermediate));
      must(run('install-certificate', '--config', config, '--certificate', chain));
    },
    certify,
    async serve({ config: file = config, before = [] } = {}) {
      const [program, ...args] = [...before, process.execPath, main, 'serve', '--config', file];
      const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
      const exited = once(child, 'exit');
      let log = '';
      child.stdout!.on('data', (chunk: Buffer) => (log += chunk.toString()));
      const started = once(child, 'message').then(
        ([message]: { ready: { grpc: string; admin: string } }[]) => message!.ready,
      );
      const early = exited.then(([code]) => {
        throw new Error(`ended with ${String(code)}:\n${log}`);
      });
      early.catch(() => undefined);
      const ready = await Promise.race([started, early]);
      return {
        child,
        ...ready,
        log: () => log,
        async stop() {
          child.kill('SIGTERM');
          await exited;
          return child.exitCode;
        },
      };
    },
    remove: () => soft.remove(),
  };
}

/** SubjectPublicKeyInfo of a certification request (RFC 2986 section 4.1). */
function requestedKey(csr: string) {
  const bytes = Buffer.from(csr.replaceAll(/-----.*-----|\s/g, ''), 'base64');
  const info = DerReader.whole(bytes).sequence();
  info.integer();
  info.raw(tags.sequence);
  const spki = info.raw(tags.sequence);
  info.raw(constructed(0));
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
}
