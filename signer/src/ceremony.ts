/** The key ceremony: what an operator runs by hand, with witnesses, before the signer serves. */
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CorroborationError, parseRegistry } from '@mecai/corroboration';
import { PkiError, toPem } from '@mecai/pki';
import { RuntimeError, loadConfig, readText } from '@mecai/runtime';
import { VoucherError } from '@mecai/voucher';
import { verifyAuditLog } from './audit-chain.ts';
import { verifySegments } from './audit-segments.ts';
import { readCertificates } from './certificates.ts';
import { chainPolicyOf } from './chain-policy.ts';
import { type SignerConfig, signerConfig } from './config.ts';
import { certificationRequest, parseSubject } from './csr.ts';
import { sha256Hex } from './digest.ts';
import { SignerError } from './error.ts';
import { Hsm } from './hsm.ts';
import { importTrustContext } from './import-trust-context.ts';
import { trialVoucher } from './trial.ts';
import { checkVaChain } from './va-chain.ts';
import { VaHistory } from './va-history.ts';

export const commands = [
  'keygen',
  'csr',
  'install-certificate',
  'destroy-key',
  'import-trust-context',
  'self-test',
  'verify-audit-log',
] as const;
export type Command = (typeof commands)[number];

export const usage = `usage: signer <command> --config <file.json>

  serve                 sign vouchers for coordinators   [--log-level trace|debug|info|warn|error]
  keygen                generate the VA key inside the token   [--next]
  csr                   certification request for it           [--next] --subject "C=DE,O=Example CA,CN=Example VA"
                                                               [--out <file>]
  install-certificate   check the VA certificate against the key and install it   [--next] --certificate <chain.pem>
                        --next: for the key and the certificate of nextVa in the configuration
  destroy-key           destroy a key whose vouchers have all run out   --key <label>
  import-trust-context  make a trust context of a root program's list   --context <TCI>, and one of
                        --certdata <certdata.txt>                                         Mozilla
                        --chrome <root_store.textproto> --certificates <bundle.pem>       Chrome
                          [--chrome-version <131>]   for this version; for the newest without it
                        --microsoft <list of the CCADB.csv> --certificates <bundle.pem>   Microsoft
                          [--not-before <dates.csv>] of its roots in status NotBefore, which the list does not
                                                     have: lines of SHA-256 and date; without one, a root is left out
  self-test             sign a trial voucher in the HSM, verify it, and check every file the signer reads
  verify-audit-log      check the hash chain through all segments   [--noted <SHA-256>] [--archived <directory>]
                                                                 [--at-least <sequence>]
                        --noted: a last line's hash as printed by an earlier check; it must still be in the chain
                        --archived: segments that were moved off this machine
                        --at-least: the highest audit_sequence that decision records name; a log that ends before
                                    it was put back to an older one

exit codes: 0 done, 1 failed, 2 wrong usage or configuration`;

export const isCommand = (word: string | undefined): word is Command =>
  (commands as readonly (string | undefined)[]).includes(word);

/** @returns the exit code */
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
        ...Object.fromEntries(
          optionsOf[command].map((name) => [
            name,
            { type: name === 'next' ? ('boolean' as const) : ('string' as const) },
          ]),
        ),
      },
    });
    const { config: file, ...others } = values as Values;
    if (file === undefined) throw misused('--config <file.json> is missing');
    await run(command, loadConfig(signerConfig, file, environment), others, now());
    return 0;
  } catch (error) {
    const known =
      error instanceof SignerError ||
      error instanceof PkiError ||
      error instanceof VoucherError ||
      error instanceof CorroborationError ||
      // The system's own, such as ENOENT.
      (error instanceof Error && 'syscall' in error);
    console.error(`signer ${command}: ${error instanceof Error ? error.message : String(error)}`);
    if (isMisuse(error)) return 2;
    if (!known) console.error(error);
    return 1;
  }
}

const misused = (why: string) => new SignerError('wrong-usage', why);

const isMisuse = (error: unknown): boolean =>
  error instanceof RuntimeError ||
  (error instanceof SignerError && error.code === 'wrong-usage') ||
  (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));

const optionsOf = {
  keygen: ['next'],
  csr: ['next', 'subject', 'out'],
  'install-certificate': ['next', 'certificate'],
  'destroy-key': ['key'],
  'import-trust-context': [
    'context',
    'certdata',
    'chrome',
    'chrome-version',
    'microsoft',
    'not-before',
    'certificates',
  ],
  'self-test': [],
  'verify-audit-log': ['noted', 'archived', 'at-least'],
} as const satisfies Record<Command, readonly Exclude<keyof Values, 'config'>[]>;

interface Values {
  readonly config?: string;
  readonly next?: boolean;
  readonly key?: string;
  readonly subject?: string;
  readonly out?: string;
  readonly certificate?: string;
  readonly noted?: string;
  readonly archived?: string;
  readonly 'at-least'?: string;
  readonly context?: string;
  readonly certdata?: string;
  readonly chrome?: string;
  readonly microsoft?: string;
  readonly certificates?: string;
  readonly 'chrome-version'?: string;
  readonly 'not-before'?: string;
}

async function run(command: Command, config: SignerConfig, values: Values, now: Date): Promise<void> {
  if (command === 'verify-audit-log') return checkAuditLog(config.auditLog, values);
  if (command === 'import-trust-context') return importTrustContext(config.trustContexts, values);
  if (values.next && !config.nextVa) throw misused('--next: there is no nextVa in the configuration');
  const { key, certificate: file } = (values.next && config.nextVa) || {
    key: config.hsm.key,
    certificate: config.vaCertificate,
  };
  const token = openHsm(config);
  const hsm = token.key(key);
  try {
    switch (command) {
      case 'keygen':
        hsm.generateKey();
        console.log(`P-256 key ${key} generated in token ${config.hsm.token}`);
        console.log(`SHA-256 of its SubjectPublicKeyInfo: ${sha256Hex(hsm.publicKey())}`);
        return;
      case 'csr': {
        if (values.subject === undefined) throw misused('--subject "O=…,CN=…" is missing');
        const request = certificationRequest(parseSubject(values.subject), hsm.publicKey(), (bytes) =>
          hsm.sign(bytes),
        );
        const pem = toPem(request, 'CERTIFICATE REQUEST');
        if (values.out === undefined) process.stdout.write(pem);
        else writeFileSync(values.out, pem);
        return;
      }
      case 'install-certificate': {
        if (values.certificate === undefined) throw misused('--certificate <chain.pem> is missing');
        const chain = readCertificates(values.certificate);
        const { certificate, notAfter } = checkVaChain(chain, hsm.publicKey(), now);
        replaceFile(file, chain.map(({ der }) => toPem(der, 'CERTIFICATE')).join(''));
        console.log(`installed: SHA-256 ${sha256Hex(certificate)}, good until ${notAfter.toISOString()}`);
        return;
      }
      case 'destroy-key':
        return await destroyKey(config, token, values.key, now);
      case 'self-test':
        await selfTest(config, hsm, now);
    }
  } finally {
    token.close();
  }
}

export const openHsm = ({ hsm }: SignerConfig): Hsm =>
  new Hsm({ module: hsm.module, tokenLabel: hsm.token, keyLabel: hsm.key, pin: readText(hsm.pinFile) });

/** Only once no voucher signed with it is good any more: until then the operator may want to go back to it. */
async function destroyKey(
  config: SignerConfig,
  token: Hsm,
  key: string | undefined,
  now: Date,
): Promise<void> {
  if (key === undefined) throw misused('--key <label> is missing');
  if ([config.hsm.key, config.nextVa?.key].includes(key)) {
    throw misused(`key ${key} is in the configuration: it signs, or is to sign next`);
  }
  const history = new VaHistory();
  await verifyAuditLog(config.auditLog, { visit: (record) => history.replay(record) });
  const retired = history.retiredAt(key);
  if (retired === undefined)
    throw misused(`key ${key} signs: the running signer was not told to use another`);
  if (retired !== 'never') {
    const until = new Date(retired + config.voucherLifetimeSeconds * 1_000);
    if (now < until)
      throw misused(`vouchers that key ${key} signed may be good until ${until.toISOString()}`);
  }
  const hsm = token.key(key);
  const digest = sha256Hex(hsm.publicKey());
  hsm.destroyKey();
  console.log(`key ${key} of token ${config.hsm.token} destroyed`);
  console.log(`SHA-256 of its SubjectPublicKeyInfo: ${digest}`);
}

const step = (what: string) => console.log(`ok  ${what}`);

async function selfTest(config: SignerConfig, hsm: Hsm, now: Date): Promise<void> {
  const spki = hsm.publicKey();
  const probe = Buffer.from('MECAI signer self-test');
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  if (!verify('sha256', probe, key, hsm.sign(probe))) {
    throw new SignerError('hsm-unavailable', 'the HSM signs, but not with the key it shows');
  }
  step(`HSM: signs with key ${sha256Hex(spki)}`);
  const weaknesses = hsm.keyWeaknesses();
  if (weaknesses.length > 0) throw new SignerError('hsm-unavailable', `the key: ${weaknesses.join(', ')}`);
  step('HSM: the key was made in the token and cannot leave it');
  const va = checkVaChain(readCertificates(config.vaCertificate), spki, now);
  step(`VA certificate: good until ${va.notAfter.toISOString()}`);
  if (config.nextVa) {
    const next = readCertificates(config.nextVa.certificate);
    const { notAfter } = checkVaChain(next, hsm.key(config.nextVa.key).publicKey(), now);
    step(`next VA certificate: good until ${notAfter.toISOString()}`);
  }
  const registry = parseRegistry(readText(config.registry));
  step(`registry: version ${registry.version}, ${registry.agents.size} perspectives`);
  const { contexts } = await chainPolicyOf(config);
  step(`trust contexts: ${contexts.map(({ id, anchors }) => `${id} (${anchors.length})`).join(', ')}`);
  const trustContexts = contexts.map(({ id }) => id);
  const trial = { va, policy: config.quorum, registry, trustContexts };
  const { length } = trialVoucher(trial, (bytes) => hsm.sign(bytes), randomBytes(16), now);
  step(`trial voucher: ${length} octets, signed and linted`);
  const { sequence } = await verifyAuditLog(config.auditLog).catch((error: unknown) => {
    // Before the first start there is none.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { sequence: 0 };
    throw error;
  });
  step(`audit log: ${sequence} records, the chain holds`);
}

async function checkAuditLog(
  file: string,
  { noted, archived, 'at-least': atLeast = '0' }: Values,
): Promise<void> {
  if (!/^\d{1,15}$/.test(atLeast)) throw misused('--at-least is a number');
  const wanted = noted?.toLowerCase();
  if (wanted !== undefined && !/^[0-9a-f]{64}$/.test(wanted)) {
    throw misused('--noted is a SHA-256, 64 hexadecimal digits');
  }
  const found = await verifySegments(file, { noted: wanted, archived });
  const { first, sequence, hash, torn, segments } = found;
  console.log(`${sequence} records, the chain holds; last line's SHA-256 ${hash}`);
  if (segments > 1) console.log(`in ${segments} segments`);
  if (first > 1) console.log(`those before record ${first} are not here: --archived <directory>`);
  if (torn > 0) console.log(`${torn} octets of a record that was never acknowledged follow`);
  if (sequence < Number(atLeast)) {
    const why = `ends at record ${sequence}, and vouchers were given out up to record ${atLeast}: it was cut, or put back`;
    throw new SignerError('audit-log-broken', `${file}: ${why}`);
  }
  if (wanted === undefined) return;
  if (found.noted === undefined) {
    const elsewhere = first > 1 ? `, unless before record ${first}` : '';
    throw new SignerError(
      'audit-log-broken',
      `${file}: no line has the hash noted; the log was cut or rewritten${elsewhere}`,
    );
  }
  console.log(`the line noted is record ${found.noted}`);
}

/** The old file or the new one, never a part. */
function replaceFile(file: string, content: string): void {
  writeFileSync(`${file}.new`, content, { flush: true });
  renameSync(`${file}.new`, file);
}
