import { decodeVoucherResponseJson, encodeVoucherResponse, mediaTypes } from '@mecai/voucher';
import { testCertificate, testVa, testVoucher } from '@mecai/voucher/testing';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pem, startTestVa, type TestVaServer } from './test-va-server.ts';

const main = join(import.meta.dirname, 'main.ts');
const directory = mkdtempSync(join(tmpdir(), 'mecai-cli-'));
const file = (name: string, content?: string | Uint8Array): string => {
  const path = join(directory, name);
  if (content !== undefined) writeFileSync(path, content);
  return path;
};

let server: TestVaServer;
beforeAll(async () => {
  server = await startTestVa();
});
afterEach(() => server.answerWith());
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function mecai(args: readonly string[], input?: string | Uint8Array): Promise<Ran> {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], { stdio: 'pipe' });
  const text = { out: '', err: '' };
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => (text.out += chunk));
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (text.err += chunk));
  child.stdin!.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...text }));
  });
}

const va = testVa();
const signed = va.issue(testVoucher);
const voucherFile = file('voucher.der', signed);
const rootsFile = file('roots.pem', pem(va.root.der));
const at = ['--at', '2026-11-22T13:00:00Z'];
const base64 = Buffer.from(signed).toString('base64').replace(/.{76}/g, '$&\r\n');

describe('mecai', () => {
  test('tells its commands', async () => {
    const help = await mecai(['--help']);
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const name of ['request', 'inspect', 'verify']) {
      expect(help.out).toContain(`  ${name} `);
      const { code, out } = await mecai([name, '--help']);
      expect(code).toBe(0);
      expect(out).toMatch(/\nExample:\n {2}mecai /);
      expect(out).toMatch(/\nExit codes: 0 /);
    }
  });

  test('takes nothing else', async () => {
    expect(await mecai([])).toMatchObject({ code: 2, out: '' });
    expect((await mecai(['issue'])).err).toContain('no command "issue"');
    expect(await mecai(['inspect', '--colour', voucherFile])).toMatchObject({ code: 2, out: '' });
  });
});

describe('mecai inspect', () => {
  test.each([
    ['DER', signed],
    ['base64', base64],
    ['PEM', `# a voucher\n-----BEGIN CMS-----\n${base64}\n-----END CMS-----\n`],
  ])('reads %s', async (_, content) => {
    const { code, out } = await mecai(['inspect', file('input', content)]);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^vouched by {5}CN=Test Voucher Authority\nfor {12}192\.0\.2\.1 and 2001:db8::1, port 443\n/,
    );
    expect(out).toContain('The signature was not verified');
  });

  test('reads standard input, and speaks JSON', async () => {
    const { code, out } = await mecai(['inspect', '-', '--json'], signed);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      verified: false,
      vaSubject: 'CN=Test Voucher Authority',
      signingTime: '2026-11-22T12:00:00.000Z',
      voucher: {
        version: 1,
        addresses: ['192.0.2.1', '2001:db8::1'],
        port: 443,
        trustContexts: ['CHROME', 'MOZ'],
        status: [{ certificate: 0 }, { certificate: 1, crl: { number: '4711' } }],
        quorum: { asked: 6, matches: 4 },
        perspectives: expect.arrayContaining([
          { country: 'BR', rir: 'lacnic', asn: 64_501, ipv4: 'match', ipv6: 'inconclusive' },
        ]),
      },
    });
  });

  test.each([
    ['no file', [], 2, 'the voucher file is missing'],
    ['two files', ['a', 'b'], 2, 'one file at a time'],
    ['a missing file', [join(directory, 'missing')], 3, 'no such file'],
    ['a directory', [directory], 3, 'cannot read'],
    ['a text', [file('text', 'not a voucher!')], 3, 'neither DER nor PEM nor base64'],
    ['a certificate', [file('certificate.der', va.root.der)], 1, 'is no voucher (malformed)'],
  ] as const)('refuses %s', async (_, args, code, words) => {
    const ran = await mecai(['inspect', ...args]);
    expect(ran).toMatchObject({ code, out: '' });
    expect(ran.err).toContain(words);
  });
});

describe('mecai verify', () => {
  const verify = (...args: readonly string[]) =>
    mecai(['verify', voucherFile, '--roots', rootsFile, ...args]);

  test('says what was checked', async () => {
    const { code, out } = await verify(
      ...at,
      '--address',
      '2001:DB8::1',
      '--port',
      '443',
      '--context',
      'MOZ',
    );
    expect(code).toBe(0);
    expect(out).toContain(
      'OK as of 2026-11-22T13:00:00.000Z (checked: signature and path to a root, time, address, port, trustContext)\n',
    );
  });

  test('judges as of now without a time', async () => {
    const producedAt = new Date(Math.floor(Date.now() / 1000) * 1000);
    const fresh = { ...testVoucher, producedAt, notAfter: new Date(producedAt.getTime() + 3_600_000) };
    const { code } = await mecai(['verify', file('fresh.der', va.issue(fresh)), '--roots', rootsFile]);
    expect(code).toBe(0);
    expect((await verify(...at, '--max-age', '60')).out).toContain('FAILED expired');
  });

  test.each([
    ['expired', ['--at', '2026-11-24']],
    ['not-yet-valid', ['--at', '2026-11-22T12:00:00+02:00']],
    ['expired', [...at, '--max-age', '3599']],
    ['other-address', [...at, '--address', '192.0.2.2']],
    ['other-port', [...at, '--port', '8443']],
    ['trust-context-missing', [...at, '--context', 'APPLE']],
    ['other-leaf', [...at, '--chain', file('chain.pem', pem(testCertificate({ subject: 'x' }).der))]],
    ['untrusted-va', [...at, '--roots', file('others.pem', pem(testVa().root.der))]],
  ] as const)('fails with %s after %o', async (failure, args) => {
    const { code, out } = await verify(...args);
    expect(code).toBe(1);
    expect(out).toContain(`FAILED ${failure}: `);
    const json = await verify(...args, '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({
      ok: false,
      failures: expect.arrayContaining([expect.objectContaining({ code: failure })]),
    });
  });

  test('speaks JSON', async () => {
    const { code, out } = await verify(...at, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ ok: true, failures: [], voucher: { port: 443 } });
  });

  test.each([
    ['without roots', ['verify', voucherFile], 2, '--roots is missing'],
    [
      'with roots that are none',
      ['verify', voucherFile, '--roots', file('none.pem', 'x')],
      3,
      'no certificate in it',
    ],
    ['at no time', ['verify', voucherFile, '--roots', rootsFile, '--at', 'noon'], 2, '--at: a time such as'],
    [
      'at a time without an offset',
      ['verify', voucherFile, '--roots', rootsFile, '--at', '2026-11-22T13:00:00'],
      2,
      '--at',
    ],
    [
      'for no address',
      ['verify', voucherFile, '--roots', rootsFile, '--address', 'localhost'],
      2,
      '--address',
    ],
    ['for no port', ['verify', voucherFile, '--roots', rootsFile, '--port', '443x'], 2, '--port'],
  ] as const)('refuses to run %s', async (_, args, code, words) => {
    const ran = await mecai(args);
    expect(ran).toMatchObject({ code, out: '' });
    expect(ran.err).toContain(words);
  });
});

describe('mecai request', () => {
  const leaf = testCertificate({ subject: 'server', dnsNames: ['www.example.org'] });
  const second = testCertificate({ subject: 'server', dnsNames: ['www.example.org'], serial: 2 });
  const chainFile = file('server.pem', pem(leaf.der));
  const keyFile = file('server.key', leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const secondFile = file('second.pem', pem(second.der));
  const secondKey = file('second.key', second.privateKey.export({ type: 'sec1', format: 'pem' }));
  const request = (...args: readonly string[]) =>
    mecai(
      ['request', '--va', server.url, '--va-ca', file('va-ca.pem', server.tlsCaPem), '--address', '192.0.2.1']
        .concat(['--name', 'www.example.org', '--chain', chainFile])
        .concat(args),
    );

  test('writes the voucher, which then verifies', async () => {
    const out = join(directory, 'requested.der');
    const ran = await request('--key', keyFile, '--out', out);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/^chain 0, certificate SHA-256 [0-9a-f]{64}: issued\n/);
    expect(ran.out).toContain('  Germany (RIPE NCC, AS64496): match\n');
    expect(ran.out).toContain(`  written to ${out}\n`);
    expect(server.seen.at(-1)).toMatchObject({
      proven: [true],
      request: { port: 443, serverName: 'www.example.org' },
    });
    const roots = file('va-roots.pem', pem(server.va.root.der));
    const verified = await mecai([
      'verify',
      out,
      '--roots',
      roots,
      ...at,
      '--chain',
      chainFile,
      '--address',
      '192.0.2.1',
    ]);
    expect(verified.code).toBe(0);
    expect(readdirSync(directory).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  test('takes several chains, and keys in any order', async () => {
    const out = join(directory, 'several.der');
    const ran = await request(
      '--chain',
      secondFile,
      '--key',
      secondKey,
      '--key',
      keyFile,
      '--out',
      out,
      '--port',
      '25',
      '--starttls',
      'smtp',
    );
    expect(ran.code).toBe(0);
    expect(server.seen.at(-1)).toMatchObject({
      proven: [true, true],
      request: { port: 25, startTls: 'smtp' },
    });
    const first = readFileSync(join(directory, 'several.0.der'));
    expect(first.equals(readFileSync(join(directory, 'several.1.der')))).toBe(false);
  });

  test('proves the key by TLS client authentication', async () => {
    expect((await request('--key', keyFile, '--client-auth')).code).toBe(0);
    expect(server.seen.at(-1)).toMatchObject({ proven: [true] });
    expect(server.seen.at(-1)!.request.nonce).toBeUndefined();
  });

  test('speaks JSON', async () => {
    const { code, out } = await request('--json');
    expect(code).toBe(0);
    expect(decodeVoucherResponseJson(Buffer.from(out)).results).toMatchObject([{ status: 'issued' }]);
  });

  test('says why there is no voucher, with a negative exit code', async () => {
    server.answerWith((_, response) => {
      const perspectives = [
        {
          country: 'SG',
          rir: 'apnic',
          asn: 64_500,
          ipv4: { verdict: 'inconclusive', code: 'timeout-connect' },
        },
      ] as const;
      const results = [
        { status: 'on-hold', retryAfter: 3600, detail: 'seen for the first time\u0007', perspectives },
      ] as const;
      response
        .writeHead(200, { 'content-type': mediaTypes.response })
        .end(encodeVoucherResponse({ results }));
    });
    const out = join(directory, 'none.der');
    const ran = await request('--out', out);
    expect(ran.code).toBe(1);
    expect(ran.out).toContain(': on-hold\n  seen for the first time?\n  ask again in 3600 seconds\n');
    expect(ran.out).toContain('  Singapore (APNIC, AS64500): inconclusive (timeout-connect)\n');
    expect(readdirSync(directory)).not.toContain('none.der');
  });

  test.each([
    ['no chain', ['--va', 'https://x', '--address', '192.0.2.1', '--name', 'a.b'], 2, '--chain is missing'],
    ['no VA', ['--chain', chainFile], 2, '--va is missing'],
    [
      'a VA over http',
      ['--va', 'http://localhost/', '--address', '192.0.2.1', '--name', 'a.b', '--chain', chainFile],
      2,
      'not an https URL',
    ],
  ] as const)('refuses %s', async (_, args, code, words) => {
    const ran = await mecai(['request', ...args]);
    expect(ran).toMatchObject({ code, out: '' });
    expect(ran.err).toContain(words);
  });

  test.each([
    ['a name for an address', ['--address', 'www.example.org'], 2, '--address'],
    ['two IPv4 addresses', ['--address', '192.0.2.2'], 2, 'one IPv4 and one IPv6'],
    ['an upper-case name', ['--name', 'WWW.example.org'], 2, '--name'],
    ['port 70000', ['--port', '70000'], 2, '--port'],
    ['an unknown protocol', ['--starttls', 'gopher'], 2, '--starttls: one of smtp'],
    [
      'a key of another certificate',
      ['--key', secondKey],
      2,
      'no --chain begins with a certificate for this key',
    ],
    ['a key file that is none', ['--key', chainFile], 3, 'no private key'],
    [
      'five chains',
      ['--chain', chainFile, '--chain', chainFile, '--chain', chainFile, '--chain', chainFile],
      2,
      'four at most',
    ],
    ['client authentication without a key', ['--client-auth'], 2, '--client-auth takes'],
    ['a chain that is none', ['--chain', keyFile], 3, 'no certificate in it'],
    ['an output in no directory', ['--out', join(directory, 'no', 'where.der')], 3, 'cannot write'],
    ['a VA that is not there', ['--va', 'https://localhost:1/vrp'], 3, 'ECONNREFUSED'],
    ['a VA of another CA', ['--va-ca', rootsFile], 3, 'certificate'],
  ] as const)('refuses %s', async (_, args, code, words) => {
    const ran = await request(...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(words);
  });
});
