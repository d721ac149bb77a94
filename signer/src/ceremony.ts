/** The key ceremony: what an operator runs by hand, with witnesses, before the signer serves. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseRegistry } from '@mecai/corroboration';
import { type Certificate, PkiError } from '@mecai/pki';
import { RuntimeError, loadConfig, readText } from '@mecai/runtime';
import { VoucherError, voucherLinter } from '@mecai/voucher';
import { verifyAuditLog } from './audit-log.ts';
import { readCertificates, toPem } from './certificates.ts';
import { chainPolicyOf } from './chain-policy.ts';
import { type SignerConfig, signerConfig } from './config.ts';
import { certificationRequest, parseSubject } from './csr.ts';
import { SignerError } from './error.ts';
import { Hsm } from './hsm.ts';
import { trialVoucher } from './trial.ts';

export const commands = ['keygen', 'csr', 'install-certificate', 'self-test', 'verify-audit-log'] as const;
type Command = (typeof commands)[number];

export const usage = `usage: signer <command> --config <file.json>

  serve                 sign vouchers for coordinators (the default)
  keygen                generate the VA key inside the token
  csr                   certification request for it       --subject "C=DE,O=Example CA,CN=Example VA" --out <file>
  install-certificate   check the VA certificate against the key and install it   --certificate <chain.pem>
  self-test             sign a trial voucher in the HSM, verify it, and check every file the signer reads
  verify-audit-log      check the hash chain from the first record to the last

exit codes: 0 done, 1 failed, 2 wrong usage or configuration`;

export const isCommand = (word: string | undefined): word is Command =>
  (commands as readonly (string | undefined)[]).includes(word);

export async function runCommand(
  command: Command,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  now: () => Date,
): Promise<number> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: 'string' },
        subject: { type: 'string' },
        out: { type: 'string' },
        certificate: { type: 'string' },
      },
    });
    if (values.config === undefined) throw new TypeError('--config <file.json> is missing');
    const config = loadConfig(signerConfig, values.config, environment);
    await run(command, config, values, now());
    return 0;
  } catch (error) {
    const known =
      error instanceof SignerError ||
      error instanceof PkiError ||
      error instanceof VoucherError ||
      (error as { code?: string }).code === 'ENOENT';
    console.error(`signer ${command}: ${(error as Error).message}`);
    if (error instanceof RuntimeError || error instanceof TypeError) return 2;
    if (!known) console.error((error as Error).stack);
    return 1;
  }
}

interface Values {
  readonly subject?: string | undefined;
  readonly out?: string | undefined;
  readonly certificate?: string | undefined;
}

async function run(command: Command, config: SignerConfig, values: Values, now: Date): Promise<void> {
  if (command === 'verify-audit-log') {
    const { sequence, hash, torn } = await verifyAuditLog(config.auditLog);
    console.log(`${sequence} records, the chain holds; last line's SHA-256 ${hash}`);
    if (torn > 0) console.log(`${torn} octets of a record that was never acknowledged follow`);
    return;
  }
  const hsm = openHsm(config);
  try {
    switch (command) {
      case 'keygen':
        hsm.generateKey();
        console.log(`P-256 key ${config.hsm.key} generated in token ${config.hsm.token}`);
        console.log(`SHA-256 of its SubjectPublicKeyInfo: ${sha256(hsm.publicKey())}`);
        return;
      case 'csr': {
        if (values.subject === undefined) throw new TypeError('--subject "O=…,CN=…" is missing');
        const request = certificationRequest(parseSubject(values.subject), hsm.publicKey(), (bytes) =>
          hsm.sign(bytes),
        );
        const pem = toPem('CERTIFICATE REQUEST', request);
        if (values.out === undefined) process.stdout.write(pem);
        else writeFileSync(values.out, pem);
        return;
      }
      case 'install-certificate': {
        if (values.certificate === undefined) throw new TypeError('--certificate <chain.pem> is missing');
        const chain = readCertificates(values.certificate);
        const certificate = checkVaChain(chain, hsm.publicKey(), now);
        writeFileSync(config.vaCertificate, chain.map(({ der }) => toPem('CERTIFICATE', der)).join(''));
        console.log(
          `installed: SHA-256 ${sha256(certificate.der)}, good until ${certificate.notAfter.toISOString()}`,
        );
        return;
      }
      case 'self-test':
        await selfTest(config, hsm, now);
    }
  } finally {
    hsm.close();
  }
}

export const openHsm = ({ hsm }: SignerConfig): Hsm =>
  new Hsm({ module: hsm.module, tokenLabel: hsm.token, keyLabel: hsm.key, pin: readText(hsm.pinFile) });

/**
 * The VA certificate is for this key, for vouchers, good now, and leads through the intermediates given.
 *
 * @throws SignerError `wrong-certificate`
 */
export function checkVaChain(
  chain: readonly [Certificate, ...Certificate[]],
  spki: Uint8Array,
  now: Date,
): Certificate {
  const wrong = (why: string, cause?: unknown) =>
    new SignerError('wrong-certificate', `VA certificate: ${why}`, { cause });
  const [first, ...rest] = chain;
  const key = (bytes: Uint8Array) =>
    createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' }).export({
      format: 'der',
      type: 'spki',
    });
  if (!key(first.spki).equals(key(spki))) throw wrong('it is for another key than the one in the HSM');
  try {
    voucherLinter({ vaCertificate: first.der, intermediates: rest.map(({ der }) => der) });
  } catch (cause) {
    if (cause instanceof VoucherError) throw wrong(cause.message, cause);
    throw cause;
  }
  if (now < first.notBefore || now > first.notAfter) {
    throw wrong(`good from ${first.notBefore.toISOString()} to ${first.notAfter.toISOString()}, not now`);
  }
  let below = first;
  for (const issuer of rest) {
    if (Buffer.compare(below.issuer, issuer.subject) !== 0) throw wrong('the chain does not link');
    below = issuer;
  }
  return first;
}

async function selfTest(config: SignerConfig, hsm: Hsm, now: Date): Promise<void> {
  const step = (what: string) => console.log(`ok  ${what}`);
  const spki = hsm.publicKey();
  const probe = Buffer.from('MECAI signer self-test');
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  if (!verify('sha256', probe, key, hsm.sign(probe))) {
    throw new SignerError('hsm-unavailable', 'the HSM signs, but not with the key it shows');
  }
  step(`HSM: signs with key ${sha256(spki)}`);
  const chain = readCertificates(config.vaCertificate);
  const certificate = checkVaChain(chain, spki, now);
  step(`VA certificate: good until ${certificate.notAfter.toISOString()}`);
  const octets = trialVoucher(chain, hsm, now).length;
  step(`trial voucher: ${octets} octets, signed and linted`);
  const registry = parseRegistry(readText(config.registry));
  step(`registry: version ${registry.version}, ${registry.agents.size} perspectives`);
  const policy = await chainPolicyOf(config);
  step(`trust contexts: ${policy.contexts.map(({ id, anchors }) => `${id} (${anchors.length})`).join(', ')}`);
  const { sequence } = await verifyAuditLog(config.auditLog).catch((error: unknown) => {
    if ((error as { code?: string }).code === 'ENOENT') return { sequence: 0 };
    throw error;
  });
  step(`audit log: ${sequence} records, the chain holds`);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
