import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { testCertificate } from '@mecai/voucher/testing';
import { oids } from '@mecai/voucher';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isCommand, runCommand } from './ceremony.ts';
import { pem } from './testing/certificates.ts';
import { type SignerFiles, createSignerFiles } from './testing/signer-files.ts';

let files: SignerFiles;
beforeAll(() => {
  files = createSignerFiles();
  Object.assign(process.env, files.soft.environment);
});
afterAll(() => files.remove());

const run = (command: string, ...args: readonly string[]) =>
  files.run(command, '--config', files.config, ...args);
/** As `run`, in this process: for tables of cases, since starting one takes a while. */
async function here(...[word, ...args]: readonly string[]) {
  const text = { out: '', err: '' };
  const into = (name: 'out' | 'err') => (line: unknown) => void (text[name] += `${String(line)}\n`);
  const spies = [
    vi.spyOn(console, 'log').mockImplementation(into('out')),
    vi.spyOn(console, 'error').mockImplementation(into('err')),
  ];
  try {
    if (!isCommand(word)) throw new Error(`no command ${word}`);
    const code = await runCommand(word, args, {}, () => new Date());
    return { code, ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
const openssl = (...args: readonly string[]) =>
  execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
const subject = ['--subject', 'C=DE,O=Test CA GmbH & Söhne,CN=Test VA'];

// The steps build on each other, as in a ceremony.
describe('before there is a key', () => {
  it.each([['csr', ...subject], ['self-test'], ['install-certificate', '--certificate', 'absent.pem']])(
    '%s says what is missing',
    (command, ...args) => {
      const { code, err, out } = run(command, ...args);
      expect(code).toBe(1);
      expect(out).toBe('');
      expect(err).toMatch(/^signer [a-z-]+: (the token has no key labelled va|ENOENT: .*absent\.pem.*)\n$/);
    },
  );

  it('serve does not start', async () => {
    await expect(files.serve()).rejects.toThrow(/ended with 1[^]*va-chain\.pem/);
  });
});

describe('keygen', () => {
  let shown: string;
  it('generates the key in the token and shows its hash', () => {
    const { code, out } = run('keygen');
    expect(code).toBe(0);
    expect(out).toContain('P-256 key va generated in token test');
    shown = /SHA-256 of its SubjectPublicKeyInfo: ([0-9a-f]{64})\n$/.exec(out)![1]!;
  });

  it('does not do it twice', () => {
    const { code, err } = run('keygen');
    expect(code).toBe(1);
    expect(err).toBe('signer keygen: the token already has a key labelled va\n');
  });

  it('shows the hash of the key that the certification request has', () => {
    expect(run('csr', ...subject, '--out', files.at('va.csr'))).toMatchObject({ code: 0, out: '' });
    const key = openssl('req', '-in', files.at('va.csr'), '-noout', '-pubkey');
    const der = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: key });
    expect(openssl('dgst', '-sha256', '-r', files.write('spki.der', '')).slice(0, 64)).not.toBe(shown);
    writeFileSync(files.at('spki.der'), der);
    expect(openssl('dgst', '-sha256', '-r', files.at('spki.der')).slice(0, 64)).toBe(shown);
  });
});

describe('csr', () => {
  it('is what a CA needs, signed by the key', () => {
    const { code, out } = run('csr', ...subject);
    expect(code).toBe(0);
    files.write('out.csr', out);
    const text = openssl(
      'req',
      '-in',
      files.at('out.csr'),
      '-verify',
      '-noout',
      '-text',
      '-nameopt',
      'utf8,sep_comma_plus',
    );
    expect(text).toContain('Subject: C=DE,O=Test CA GmbH & Söhne,CN=Test VA');
    expect(text).toContain('ASN1 OID: prime256v1');
    expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256');
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Digital Signature/);
    expect(text).toMatch(/X509v3 Extended Key Usage:\s+2\.25\.\d+/);
  });

  const checked = (...args: readonly string[]) =>
    spawnSync('openssl', ['req', '-verify', '-noout', ...args], { encoding: 'utf8' });
  it('signed by another key would be noticed', () => {
    const bytes = Buffer.from(
      readFileSync(files.at('out.csr'), 'utf8').replaceAll(/-----.*-----|\s/g, ''),
      'base64',
    );
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(files.at('bad.der'), bytes);
    expect(checked('-inform', 'DER', '-in', files.at('bad.der')).stderr).toContain('verify failure');
    expect(checked('-in', files.at('out.csr')).stderr).toContain('verify OK');
  });

  it.each([
    '',
    'CN',
    'CN=',
    'cn=x',
    'XX=y',
    'C=Germany',
    'C=de',
    'CN=a,,O=b',
    `CN=${'x'.repeat(65)}`,
    'CN=a\nO=b,Q=c',
  ])('refuses the subject %j', (text) => {
    const { code, err, out } = run('csr', '--subject', text);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^signer csr: (subject: |--subject)/);
  });
});

describe('install-certificate', () => {
  const csr = () => readFileSync(files.at('va.csr'), 'utf8');
  const chain = (text: string) => ['--certificate', files.write('chain.pem', text)];
  const install = (text: string) => here('install-certificate', '--config', files.config, ...chain(text));
  const day = 86_400_000;

  it.each<[string, string, () => string]>([
    [
      'another key',
      'it is for another key than the one in the HSM',
      () => pem(testCertificate({ subject: 'x' })),
    ],
    [
      'another purpose',
      'voucher-signing is not its only extended key usage',
      () => pem(files.certify(csr(), { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }), files.vaIntermediate),
    ],
    [
      'two purposes',
      'voucher-signing is not its only extended key usage',
      () =>
        pem(
          files.certify(csr(), { extendedKeyUsage: [oids.voucherSigning, '1.3.6.1.5.5.7.3.8'] }),
          files.vaIntermediate,
        ),
    ],
    ['a CA', 'it is a CA certificate', () => pem(files.certify(csr(), { ca: true }), files.vaIntermediate)],
    [
      'another key usage',
      'its key must not sign data',
      () => pem(files.certify(csr(), { keyUsage: 0x04 }), files.vaIntermediate),
    ],
    [
      'no source of its status',
      'it names neither a CRL nor an OCSP responder',
      () => pem(files.certify(csr(), { crlUrl: undefined }), files.vaIntermediate),
    ],
    [
      'the past',
      'not now',
      () =>
        pem(
          files.certify(csr(), {
            notBefore: new Date(Date.now() - 2 * day),
            notAfter: new Date(Date.now() - day),
          }),
          files.vaIntermediate,
        ),
    ],
    [
      'the future',
      'not now',
      () => pem(files.certify(csr(), { notBefore: new Date(Date.now() + day) }), files.vaIntermediate),
    ],
    [
      'a chain with a gap',
      'certificate 2 did not issue certificate 1',
      () => pem(files.certify(csr(), { issuer: files.vaRoot }), files.vaIntermediate),
    ],
    [
      'an issuer of the same name with another key',
      'certificate 2 did not issue certificate 1',
      () => pem(files.certify(csr()), twin(files.vaIntermediate.subject)),
    ],
    [
      'a chain with its root',
      'the root does not belong in the chain',
      () => pem(files.certify(csr()), files.vaIntermediate, files.vaRoot),
    ],
    [
      'an expired intermediate',
      'intermediate 1 is good from',
      () => {
        const old = testCertificate({
          subject: files.vaIntermediate.subject,
          issuer: files.vaRoot,
          key: files.vaIntermediate,
          ca: true,
          keyUsage: 0x04,
          notAfter: new Date(Date.now() - day),
        });
        return pem(files.certify(csr()), old);
      },
    ],
    ['no certificate', 'no certificate', () => 'nothing here\n'],
    [
      'half a certificate',
      'PEM certificate 1',
      () => pem(files.vaRoot).replace(/\n[^\n]*\n-----END/, '\n-----END'),
    ],
  ])('refuses one for %s', async (_, why, text) => {
    const { code, err, out } = await install(text());
    expect(err).toContain(why);
    expect(err).not.toContain('    at ');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(existsSync(files.at('va-chain.pem'))).toBe(false);
  });

  it('installs one that fits, with the certificates between it and the root', () => {
    const text = pem(files.certify(csr()), files.vaIntermediate);
    const { code, out, err } = run('install-certificate', ...chain(`Certificate chain:\n${text}`));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^installed: SHA-256 [0-9a-f]{64}, good until 2028-01-01T00:00:00\.000Z\n$/);
    expect(readFileSync(files.at('va-chain.pem'), 'utf8')).toBe(text);
    expect(readdirSync(files.soft.directory).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it('leaves the one installed in place when the next is refused', () => {
    const before = readFileSync(files.at('va-chain.pem'), 'utf8');
    expect(run('install-certificate', ...chain(pem(files.vaRoot))).code).toBe(1);
    expect(readFileSync(files.at('va-chain.pem'), 'utf8')).toBe(before);
  });

  const twin = (name: string) =>
    testCertificate({ subject: name, issuer: files.vaRoot, ca: true, keyUsage: 0x04 });
});

describe('self-test', () => {
  it('goes through all the signer needs', () => {
    const { code, out, err } = run('self-test');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const steps = out.trimEnd().split('\n');
    expect(steps.every((line) => line.startsWith('ok  '))).toBe(true);
    expect(steps).toHaveLength(7);
    expect(out).toContain('audit log: 0 records');
  });

  it.each<[what: string, says: RegExp, change: () => object]>([
    ['a registry that is none', /registry: not JSON/, () => ({ registry: files.write('bad.json', 'no') })],
    ['a registry with one key twice', /twice/, () => ({ registry: files.write('twice.json', twice()) })],
    ['a registry that is not there', /cannot read .*absent/, () => ({ registry: files.at('absent.json') })],
    ['trust contexts that are not there', /trust/, () => ({ trustContexts: files.at('absent') })],
    ['an own CA that is not there', /ENOENT/, () => ({ ownCa: [files.at('absent.pem')] })],
    ['another token', /no token labelled other/, () => hsm({ token: 'other' })],
    ['another key', /no key labelled other/, () => hsm({ key: 'other' })],
    ['a wrong PIN', /the PIN is wrong/, () => hsm({ pinFile: files.write('wrong.pin', '0000') })],
    ['no module', /cannot load/, () => hsm({ module: files.at('none.so') })],
    ['a broken audit log', /line 1: not JSON/, () => ({ auditLog: files.write('broken.jsonl', 'no\n') })],
    [
      'a registry version that no voucher can state',
      /no voucher could be made: .*directoryVersion/,
      () => ({
        registry: files.write('late.json', registry().replace('"version":3', '"version":4294967296')),
      }),
    ],
  ])('finds %s', async (_, says, change) => {
    const { code, err } = await here('self-test', '--config', files.configure(change()));
    expect(err).toMatch(says);
    expect(err).not.toMatch(/^ {4}at /m);
    expect(code).not.toBe(0);
  });

  const registry = () => readFileSync(files.at('registry.json'), 'utf8');
  const hsm = (changes: object) => ({
    hsm: { module: files.soft.module, token: 'test', key: 'va', pinFile: files.at('pin'), ...changes },
  });
  function twice() {
    const parsed: { agents: { publicKey: string }[] } = JSON.parse(registry());
    parsed.agents[1]!.publicKey = parsed.agents[0]!.publicKey;
    return JSON.stringify(parsed);
  }
});

describe('verify-audit-log', () => {
  const log = () => files.at('audit.jsonl');
  const genesis = '0'.repeat(64);
  it('counts the records, and knows a hash noted before', () => {
    writeFileSync(log(), `{"sequence":1,"previous":"${genesis}","event":"tested"}\n`);
    const { code, out } = run('verify-audit-log');
    expect(code).toBe(0);
    const [, noted] = /^1 records, the chain holds; last line's SHA-256 ([0-9a-f]{64})\n$/.exec(out)!;
    appendFileSync(log(), `{"sequence":2,"previous":"${noted}","event":"tested"}\n{"seq`);
    const after = run('verify-audit-log', '--noted', noted!.toUpperCase());
    expect(after.code).toBe(0);
    expect(after.out).toContain('2 records');
    expect(after.out).toContain('5 octets of a record that was never acknowledged follow');
    expect(after.out).toContain('the line noted is record 1');
  });

  it('fails on another log, naming the line, and on a hash that is gone', () => {
    expect(run('verify-audit-log', '--noted', 'f'.repeat(64))).toMatchObject({
      code: 1,
      err: expect.stringContaining('no line has the hash noted'),
    });
    expect(run('verify-audit-log', '--at-least', '2').code).toBe(0);
    expect(run('verify-audit-log', '--at-least', '3')).toMatchObject({
      code: 1,
      err: expect.stringContaining('ends at record 2, and vouchers were given out up to record 3'),
    });
    expect(run('verify-audit-log', '--at-least', 'all').code).toBe(2);
    writeFileSync(log(), readFileSync(log(), 'utf8').replace('tested', 'altered'));
    expect(run('verify-audit-log')).toMatchObject({ code: 1, err: expect.stringContaining('line 2: hash') });
    rmSync(log());
    expect(run('verify-audit-log')).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') });
  });
});

describe('usage', () => {
  it.each([['--help'], ['-h'], ['keygen', '--help'], ['serve', '--help']])('is shown on %s %s', (...args) => {
    const { code, out, err } = files.run(...args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const word of ['serve', 'keygen', 'csr', 'install-certificate', 'self-test', 'verify-audit-log']) {
      expect(out).toContain(`\n  ${word} `);
    }
  });

  it.each<[string[], string]>([
    [[], 'usage: signer'],
    [['frobnicate'], 'no command "frobnicate"'],
    [['keygen'], '--config <file.json> is missing'],
    [['serve'], '--config <file.json> is missing'],
    [['csr', '--config', 'CONFIG'], '--subject'],
    [['install-certificate', '--config', 'CONFIG'], '--certificate'],
    [['keygen', '--subject', 'CN=x', '--config', 'CONFIG'], "Unknown option '--subject'"],
    [['keygen', 'twice', '--config', 'CONFIG'], 'Unexpected argument'],
    [['verify-audit-log', '--noted', 'abc', '--config', 'CONFIG'], '64 hexadecimal digits'],
    [['self-test', '--config', '/nowhere/signer.json'], 'cannot read /nowhere/signer.json'],
  ])('exit code 2 for %j', async (args, says) => {
    const given = args.map((one) => one.replace('CONFIG', files.config));
    const { code, err } = isCommand(given[0]) ? await here(...given) : files.run(...given);
    expect(err).toContain(says);
    expect(code).toBe(2);
  });
});
