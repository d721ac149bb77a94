import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestCa } from './certificates.ts';
import { softHsmModule } from './soft-hsm.ts';
import { vaCertificate } from './va-certificate.ts';
import type { Workshop } from './workshop.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '../../..');

export interface SignerToken {
  readonly config: string;
  /** For the module of SoftHSM. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * A SoftHSM token of its own for a signer, with a VA key made and certified as in the key ceremony.
 *
 * @param name of the signer's files; a prefix of those that each signer has
 * @param config of the signer without what concerns the HSM and the VA's certificate
 */
export async function prepareSigner(
  { at, write, ...workshop }: Pick<Workshop, 'at' | 'write'> & { readonly vaRoot: TestCa },
  name: string,
  config: object,
): Promise<SignerToken> {
  const prefix = name === 'signer' ? '' : `${name}.`;
  const tokens = `${prefix}tokens`;
  mkdirSync(at(tokens), { recursive: true });
  const environment = {
    SOFTHSM2_CONF: write(
      `${prefix}softhsm2.conf`,
      `directories.tokendir = ${at(tokens)}\nlog.level = ERROR\n`,
    ),
  };
  const pin = randomBytes(8).toString('hex');
  const soPin = randomBytes(8).toString('hex');
  await run(
    'softhsm2-util',
    ['--init-token', '--free', '--label', 'mecai', '--pin', pin, '--so-pin', soPin],
    { env: { ...process.env, ...environment } },
  );
  const file = write(`${name}.json`, {
    hsm: { module: softHsmModule(), token: 'mecai', key: 'va', pinFile: write(`${prefix}pin`, pin, 0o600) },
    vaCertificate: at(`${prefix}va-chain.pem`),
    ...config,
  });
  const ceremony = (...args: string[]) =>
    run(process.execPath, [join(repository, 'signer/src/main.ts'), ...args, '--config', file], {
      env: { ...process.env, ...environment },
    });
  const csr = at(`${prefix}va.csr`);
  await ceremony('keygen');
  await ceremony('csr', '--subject', 'O=Second Opinion CA,CN=Second Opinion VA', '--out', csr);
  const certificate = write(`${prefix}va.pem`, vaCertificate(workshop.vaRoot, csr));
  await ceremony('install-certificate', '--certificate', certificate);
  return { config: file, environment };
}
