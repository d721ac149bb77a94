/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { cipherSuites } from './cipher-suites.ts';
import { probe } from './index.ts';
import { type Issued, keyKinds, TestCertificates, TestHierarchy } from './testing/certificates.ts';
import { at, chainOf, expectProven, shownByOpenssl } from './testing/observed.ts';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from './testing/processes.ts';
import { serverInfo } from './testing/server-info.ts';

const certificates = new TestCertificates();
const processes = new Processes();
const hierarchy = new TestHierarchy(certificates);
const openssl = program('openssl', 'openssl');
const path = (name: string) => certificates.path(name);
afterAll(async () => {
  await processes.stop();
  certificates.remove();
});

const identity = ({ certificatePath, keyPath }: Issued) => ['-cert', certificatePath, '-key', keyPath];

async function sServer(...args: readonly string[]): Promise<number> {
  const port = await freePort();
  await processes.serve(openssl, ['s_server', '-accept', `127.0.0.1:${port}`, '-www', ...args], port, {
    cwd: certificates.directory,
  });
  return port;
}

describe('openssl s_server', () => {
  it.each(
    keyKinds.flatMap((kind) => (['-tls1_2', '-tls1_3'] as const).map((version) => [kind, version] as const)),
  )('with a key of type %s under %s', async (kind, version) => {
    const result = await at(await sServer(...identity(hierarchy.leaf(kind)), version));
    expectProven(result);
    expect(chainOf(result)).toEqual([hierarchy.leaf(kind).der]);
    expect(result.version).toBe(version === '-tls1_2' ? 0x0303 : 0x0304);
  });

  const names = new Map(
    execFileSync(openssl, ['ciphers', '-V', 'ALL:COMPLEMENTOFALL'])
      .toString()
      .split('\n')
      .map((line) => /0x(..),0x(..) - (\S+)/.exec(line))
      .filter((match) => match !== null)
      .map(([, high, low, name]) => [Number.parseInt(`${high}${low}`, 16), name!] as const),
  );

  it.each(cipherSuites.map((suite) => [names.get(suite.id)!, suite] as const))(
    'with %s',
    async (name, suite) => {
      const leaf = hierarchy.leaf(suite.version === 0x0303 && suite.keyType === 'rsa' ? 'rsa' : 'p256');
      const only = suite.version === 0x0304 ? ['-ciphersuites', name] : ['-tls1_2', '-cipher', name];
      const result = await at(await sServer(...identity(leaf), ...only));
      expectProven(result);
      expect(result.cipherSuite).toBe(suite.id);
    },
  );

  it.each([
    ['P-256', 0x17],
    ['P-384', 0x18],
    ['P-521', 0x19],
    ['X25519', 0x1d],
  ])('that takes %s only, by HelloRetryRequest in 1.3', async (name, group) => {
    const only = [...identity(hierarchy.leaf('p256')), '-groups', name];
    const result = await at(await sServer(...only));
    expectProven(result);
    expect([result.version, result.group]).toEqual([0x0304, group]);
    // In 1.2 the leaf's curve must be among the server's groups too.
    const rsaLeaf = identity(hierarchy.leaf('rsa'));
    const older = await at(await sServer(...rsaLeaf, '-groups', name, '-tls1_2'));
    expectProven(older);
    expect([older.version, older.group]).toEqual([0x0303, group]);
  });

  it('that sends strays, duplicates and the wrong order: as openssl sees it', async () => {
    const [leaf, stray] = [hierarchy.leaf('p256'), hierarchy.leaf('rsa')];
    const extra = certificates.bundle(
      'strays.pem',
      hierarchy.root,
      stray,
      hierarchy.issuer,
      hierarchy.issuer,
      leaf,
    );
    for (const version of ['-tls1_2', '-tls1_3']) {
      const port = await sServer(...identity(leaf), '-cert_chain', extra, version);
      const result = await at(port);
      expectProven(result);
      expect(chainOf(result)).toEqual(
        [leaf, hierarchy.root, stray, hierarchy.issuer, hierarchy.issuer, leaf].map(({ der }) => der),
      );
      expect(chainOf(result)).toEqual(shownByOpenssl(port));
    }
  });

  it('that has an RSA and an ECDSA certificate shows the one asked for', async () => {
    const [ec, rsa] = [hierarchy.leaf('p256'), hierarchy.leaf('rsa')];
    const dual = [...identity(ec), '-dcert', rsa.certificatePath, '-dkey', rsa.keyPath];
    for (const version of ['-tls1_2', '-tls1_3']) {
      const port = await sServer(...dual, version);
      for (const [keyType, leaf] of [
        ['rsa', rsa],
        ['ecdsa', ec],
      ] as const) {
        const result = await at(port, { keyType });
        expectProven(result);
        expect(chainOf(result)[0]).toEqual(leaf.der);
      }
    }
  });

  it('that chooses by SNI, and sees none when none is sent', async () => {
    const [named, other] = [hierarchy.leaf('p384'), hierarchy.leaf('p256')];
    const second = ['-servername', 'localhost', '-cert2', named.certificatePath, '-key2', named.keyPath];
    const port = await sServer(...identity(other), ...second);
    expect(chainOf(await at(port))[0]).toEqual(named.der);
    expect(chainOf(await at(port, {}, null))[0]).toEqual(other.der);
    expect(chainOf(await at(port, {}, 'elsewhere.example'))[0]).toEqual(other.der);
  });

  it('that refuses the name answers with its alert', async () => {
    const other = hierarchy.leaf('p256');
    const second = ['-servername', 'localhost', '-cert2', other.certificatePath, '-key2', other.keyPath];
    const port = await sServer(...identity(other), ...second, '-servername_fatal');
    const { error } = await at(port, {}, 'elsewhere.example');
    expect([error?.class, error?.alert]).toEqual(['alert', 112]);
  });

  it('that speaks TLS 1.1 at most, or wants what is not offered, answers with an alert', async () => {
    const leaf = identity(hierarchy.leaf('rsa'));
    const old = await at(await sServer(...leaf, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'));
    expect([old.error?.class, old.error?.alert]).toEqual(['alert', 70]);
    const strange = await at(await sServer(...leaf, '-tls1_2', '-cipher', 'DHE-RSA-AES128-SHA'));
    expect([strange.error?.class, strange.error?.alert]).toEqual(['alert', 40]);
  });

  it('that asks for a client certificate', async () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      expectProven(await at(await sServer(...identity(hierarchy.leaf('rsa')), '-verify', '1', version)));
    }
  });

  it('that negotiates ALPN, staples OCSP and SCTs and answers private extensions', async () => {
    const leaf = hierarchy.leaf('p256');
    const [request, response] = [path('ocsp.req'), path('ocsp.der')];
    const ocsp = (...args: string[]) => execFileSync(openssl, ['ocsp', ...args], { stdio: 'pipe' });
    ocsp('-issuer', hierarchy.root.certificatePath, '-cert', leaf.certificatePath, '-reqout', request);
    const index = certificates.write('index.txt', '');
    const responder = [
      '-rsigner',
      hierarchy.root.certificatePath,
      '-rkey',
      hierarchy.root.keyPath,
      '-CA',
      hierarchy.root.certificatePath,
    ];
    ocsp('-index', index, ...responder, '-reqin', request, '-respout', response, '-ndays', '1');
    const sct = Buffer.concat([Buffer.from([0, 12, 0, 10]), Buffer.alloc(10, 7)]);
    const voucher = Buffer.alloc(4_000, 'voucher');
    const info = certificates.write('serverinfo.pem', serverInfo(64_000, voucher) + serverInfo(18, sct));
    for (const version of ['-tls1_2', '-tls1_3']) {
      const stapled = ['-status_file', response, '-serverinfo', info];
      const port = await sServer(...identity(leaf), ...stapled, '-alpn', 'h2,http/1.1', version);
      const result = await at(port, { alpn: ['http/1.1'], extensions: [64_000, 64_001] });
      expectProven(result);
      expect(result.alpn).toBe('http/1.1');
      expect(result.ocspResponses.map(({ certificate }) => certificate)).toEqual([0]);
      expect(Buffer.from(result.ocspResponses[0]!.der)).toEqual(readFileSync(response));
      expect(result.sctLists).toEqual([{ source: 'tls', certificate: 0, list: new Uint8Array(sct) }]);
      expect([...result.extensions.keys()]).toEqual([64_000]);
      expect(Buffer.from(result.extensions.get(64_000)!)).toEqual(voucher);
    }
  });

  it('on IPv6', async () => {
    const port = await freePort('::1');
    const args = ['s_server', '-accept', `[::1]:${port}`, '-www', ...identity(hierarchy.leaf('p256'))];
    await processes.serve(openssl, args, port, { host: '::1' });
    expectProven(await probe({ address: '::1', port, serverName: 'localhost' }));
  });
});
