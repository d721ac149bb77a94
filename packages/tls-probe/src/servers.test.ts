/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probe, type ProbeOptions, type ProbeResult } from './index.ts';
import { cipherSuites } from './cipher-suites.ts';
import { groups, offeredGroups } from './key-exchange.ts';
import { type Issued, type KeyKind, TestCertificates } from './testing/certificates.ts';
import { freePort, portOf, Processes, program } from './testing/processes.ts';

const certificates = new TestCertificates();
const processes = new Processes();
const openssl = program('openssl', 'openssl');
const path = (name: string) => certificates.path(name);

const kinds: readonly KeyKind[] = ['p256', 'p384', 'p521', 'rsa', 'rsa-pss', 'ed25519', 'ed448'];
const leaves = new Map<KeyKind, Issued>();
let root: Issued;
let issuer: Issued;

beforeAll(() => {
  root = certificates.issue('root', 'rsa');
  issuer = certificates.issue('issuer', 'p256', root);
  // Issued by RSA on purpose: who asks for an ECDSA leaf must not exclude its issuer's signature.
  for (const kind of kinds) leaves.set(kind, certificates.issue(kind, kind, root));
});
afterAll(async () => {
  await processes.stop();
  certificates.remove();
});

const at = (port: number, options?: ProbeOptions, serverName: string | null = 'localhost') =>
  probe({ address: '127.0.0.1', port, ...(serverName !== null && { serverName }) }, options);

const identity = ({ certificatePath, keyPath }: Issued) => ['-cert', certificatePath, '-key', keyPath];

async function sServer(...args: readonly string[]): Promise<number> {
  const port = await freePort();
  await processes.serve(openssl, ['s_server', '-accept', `127.0.0.1:${port}`, '-www', ...args], port, {
    cwd: certificates.directory,
  });
  return port;
}

/** The chain in openssl's own view. */
function shownByOpenssl(port: number, ...args: readonly string[]): Buffer[] {
  const output = execFileSync(
    openssl,
    ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-showcerts', ...args],
    { input: '', stdio: 'pipe' },
  ).toString();
  const [shown = ''] = output.split('---\nServer certificate');
  return [...shown.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(
    ([pem]) => new X509Certificate(pem).raw,
  );
}

const chainOf = ({ chain }: ProbeResult) => chain.map((der) => Buffer.from(der));

function expectProven(result: ProbeResult): void {
  expect(result.error).toBeUndefined();
  expect(result.possessionProven).toBe(true);
  const { connect, firstByte, proof, end } = result.timings;
  expect(connect).toBeLessThanOrEqual(firstByte!);
  expect(firstByte).toBeLessThanOrEqual(proof!);
  expect(proof).toBeLessThanOrEqual(end);
}

describe('openssl s_server', () => {
  it.each(
    kinds.flatMap((kind) => (['-tls1_2', '-tls1_3'] as const).map((version) => [kind, version] as const)),
  )('with a key of type %s under %s', async (kind, version) => {
    const result = await at(await sServer(...identity(leaves.get(kind)!), version));
    expectProven(result);
    expect(chainOf(result)).toEqual([leaves.get(kind)!.der]);
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
      const leaf = leaves.get(suite.version === 0x0303 && suite.keyType === 'rsa' ? 'rsa' : 'p256')!;
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
    const only = [...identity(leaves.get('p256')!), '-groups', name];
    const result = await at(await sServer(...only));
    expectProven(result);
    expect([result.version, result.group]).toEqual([0x0304, group]);
    // In 1.2 the leaf's curve must be among the server's groups too.
    const rsaLeaf = identity(leaves.get('rsa')!);
    const older = await at(await sServer(...rsaLeaf, '-groups', name, '-tls1_2'));
    expectProven(older);
    expect([older.version, older.group]).toEqual([0x0303, group]);
  });

  it('that sends strays, duplicates and the wrong order: as openssl sees it', async () => {
    const [leaf, stray] = [leaves.get('p256')!, leaves.get('rsa')!];
    const extra = certificates.bundle('strays.pem', root, stray, issuer, issuer, leaf);
    for (const version of ['-tls1_2', '-tls1_3']) {
      const port = await sServer(...identity(leaf), '-cert_chain', extra, version);
      const result = await at(port);
      expectProven(result);
      expect(chainOf(result)).toEqual([leaf, root, stray, issuer, issuer, leaf].map(({ der }) => der));
      expect(chainOf(result)).toEqual(shownByOpenssl(port));
    }
  });

  it('that has an RSA and an ECDSA certificate shows the one asked for', async () => {
    const [ec, rsa] = [leaves.get('p256')!, leaves.get('rsa')!];
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
    const [named, other] = [leaves.get('p384')!, leaves.get('p256')!];
    const second = ['-servername', 'localhost', '-cert2', named.certificatePath, '-key2', named.keyPath];
    const port = await sServer(...identity(other), ...second);
    expect(chainOf(await at(port))[0]).toEqual(named.der);
    expect(chainOf(await at(port, {}, null))[0]).toEqual(other.der);
    expect(chainOf(await at(port, {}, 'elsewhere.example'))[0]).toEqual(other.der);
  });

  it('that refuses the name answers with its alert', async () => {
    const other = leaves.get('p256')!;
    const second = ['-servername', 'localhost', '-cert2', other.certificatePath, '-key2', other.keyPath];
    const port = await sServer(...identity(other), ...second, '-servername_fatal');
    const { error } = await at(port, {}, 'elsewhere.example');
    expect([error?.class, error?.alert]).toEqual(['alert', 112]);
  });

  it('that speaks TLS 1.1 at most, or wants what is not offered, answers with an alert', async () => {
    const leaf = identity(leaves.get('rsa')!);
    const old = await at(await sServer(...leaf, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'));
    expect([old.error?.class, old.error?.alert]).toEqual(['alert', 70]);
    const strange = await at(await sServer(...leaf, '-tls1_2', '-cipher', 'DHE-RSA-AES128-SHA'));
    expect([strange.error?.class, strange.error?.alert]).toEqual(['alert', 40]);
  });

  it('that asks for a client certificate', async () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      expectProven(await at(await sServer(...identity(leaves.get('rsa')!), '-verify', '1', version)));
    }
  });

  it('that negotiates ALPN, staples OCSP and SCTs and answers private extensions', async () => {
    const leaf = leaves.get('p256')!;
    const [request, response] = [path('ocsp.req'), path('ocsp.der')];
    const ocsp = (...args: string[]) => execFileSync(openssl, ['ocsp', ...args], { stdio: 'pipe' });
    ocsp('-issuer', root.certificatePath, '-cert', leaf.certificatePath, '-reqout', request);
    const index = certificates.write('index.txt', '');
    const responder = ['-rsigner', root.certificatePath, '-rkey', root.keyPath, '-CA', root.certificatePath];
    ocsp('-index', index, ...responder, '-reqin', request, '-respout', response, '-ndays', '1');
    const sct = Buffer.concat([Buffer.from([0, 12, 0, 10]), Buffer.alloc(10, 7)]);
    // Context 0x1180: ClientHello, TLS 1.2 ServerHello, TLS 1.3 Certificate.
    const block = (type: number, data: Buffer) => {
      const header = Buffer.alloc(8);
      header.writeUInt32BE(0x1180, 0);
      header.writeUInt16BE(type, 4);
      header.writeUInt16BE(data.length, 6);
      const base64 = Buffer.concat([header, data]).toString('base64').replace(/.{64}/g, '$&\n');
      const label = `SERVERINFOV2 FOR EXTENSION ${type}`;
      return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
    };
    const voucher = Buffer.alloc(4_000, 'voucher');
    const info = certificates.write('serverinfo.pem', block(64_000, voucher) + block(18, sct));
    for (const version of ['-tls1_2', '-tls1_3']) {
      const stapled = ['-status_file', response, '-serverinfo', info];
      const port = await sServer(...identity(leaf), ...stapled, '-alpn', 'h2,http/1.1', version);
      const result = await at(port, { alpn: ['http/1.1'], extensions: [64_000, 64_001] });
      expectProven(result);
      expect(result.alpn).toBe('http/1.1');
      expect(result.ocspResponses.map(({ certificate }) => certificate)).toEqual([0]);
      expect(Buffer.from(result.ocspResponses[0]!.der)).toEqual(readFileSync(response));
      expect(result.sctLists.map((list) => Buffer.from(list))).toEqual([sct]);
      expect([...result.extensions.keys()]).toEqual([64_000]);
      expect(Buffer.from(result.extensions.get(64_000)!)).toEqual(voucher);
    }
  });

  it('on IPv6', async () => {
    const port = await freePort('::1');
    const args = ['s_server', '-accept', `[::1]:${port}`, '-www', ...identity(leaves.get('p256')!)];
    await processes.serve(openssl, args, port, { host: '::1' });
    expectProven(await probe({ address: '::1', port, serverName: 'localhost' }));
  });
});

describe('nginx', () => {
  let ports: { strays: number; dual: number; old: number };

  beforeAll(async () => {
    const nginx = program('nginx', 'nginx-light');
    ports = { strays: await freePort(), dual: await freePort(), old: await freePort() };
    const [ec, rsa] = [leaves.get('p256')!, leaves.get('rsa')!];
    const strays = certificates.bundle('nginx.pem', ec, rsa, issuer, issuer, root, ec);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${path(name)};`)
      .join(' ');
    const configuration = certificates.write(
      'nginx.conf',
      `daemon off; master_process off; pid ${path('nginx.pid')}; error_log stderr info;
       events { worker_connections 64; }
       http { access_log off; ${temporary}
         server { listen 127.0.0.1:${ports.strays} ssl;
           ssl_certificate ${strays}; ssl_certificate_key ${ec.keyPath}; }
         server { listen 127.0.0.1:${ports.dual} ssl;
           ssl_certificate ${ec.certificatePath}; ssl_certificate_key ${ec.keyPath};
           ssl_certificate ${rsa.certificatePath}; ssl_certificate_key ${rsa.keyPath}; }
         server { listen 127.0.0.1:${ports.old} ssl; ssl_protocols TLSv1.2; ssl_ciphers AES128-SHA;
           ssl_certificate ${rsa.certificatePath}; ssl_certificate_key ${rsa.keyPath}; } }`,
    );
    await processes.serve(nginx, ['-p', certificates.directory, '-c', configuration], ports.old);
  });

  it('sends what its file holds, and openssl sees the same', async () => {
    const result = await at(ports.strays);
    expectProven(result);
    expect(chainOf(result)).toHaveLength(6);
    expect(chainOf(result)).toEqual(shownByOpenssl(ports.strays));
  });

  it('shows the certificate asked for', async () => {
    for (const [keyType, kind] of [
      ['rsa', 'rsa'],
      ['ecdsa', 'p256'],
    ] as const) {
      expect(chainOf(await at(ports.dual, { keyType }))[0]).toEqual(leaves.get(kind)!.der);
    }
  });

  it('proves possession under plain RSA', async () => {
    const result = await at(ports.old);
    expectProven(result);
    expect([result.version, result.cipherSuite, result.group]).toEqual([0x0303, 0x002f, undefined]);
  });
});

describe('Apache', () => {
  it('sends what its file holds, and openssl sees the same', async () => {
    const apache = program('apache2', 'apache2');
    const port = await freePort();
    const modules = ['mpm_event', 'ssl', 'socache_shmcb', 'authz_core']
      .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
      .join('\n');
    const leaf = leaves.get('rsa')!;
    const bundle = certificates.bundle('apache.pem', leaf, root, issuer, root);
    const configuration = certificates.write(
      'apache.conf',
      `${modules}
       ServerName localhost
       ServerRoot ${certificates.directory}
       DefaultRuntimeDir ${certificates.directory}
       Listen 127.0.0.1:${port}
       PidFile ${path('apache.pid')}
       ErrorLog ${path('apache.log')}
       SSLEngine on
       SSLSessionCache none
       SSLCertificateFile ${bundle}
       SSLCertificateKeyFile ${leaf.keyPath}`,
    );
    await processes.serve(apache, ['-D', 'FOREGROUND', '-f', configuration], port);
    const result = await at(port);
    expectProven(result);
    expect(chainOf(result)).toEqual([leaf, root, issuer, root].map(({ der }) => der));
    expect(chainOf(result)).toEqual(shownByOpenssl(port));
  });
});

describe('GnuTLS', () => {
  const gnutls = async (priority: string, leaf: Issued) => {
    const port = await freePort();
    const files = ['--x509certfile', leaf.certificatePath, '--x509keyfile', leaf.keyPath];
    const args = ['--http', '--disable-client-cert', '--port', String(port), '--priority', priority];
    await processes.serve(program('gnutls-serv', 'gnutls-bin'), [...args, ...files], port);
    return port;
  };

  it.each([
    ['TLS 1.3', 'NORMAL', 'p256', 0x0304],
    ['TLS 1.3 with Ed25519', 'NORMAL', 'ed25519', 0x0304],
    ['TLS 1.3 with P-384 only', 'NORMAL:-GROUP-ALL:+GROUP-SECP384R1', 'rsa', 0x0304],
    ['TLS 1.2', 'NORMAL:-VERS-ALL:+VERS-TLS1.2', 'p256', 0x0303],
    ['TLS 1.2 with plain RSA', 'NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA', 'rsa', 0x0303],
    ['TLS 1.2 with CBC', 'NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC', 'rsa', 0x0303],
  ] as const)('%s', async (_, priority, kind, version) => {
    const result = await at(await gnutls(priority, leaves.get(kind)!));
    expectProven(result);
    expect(result.version).toBe(version);
    expect(chainOf(result)[0]).toEqual(leaves.get(kind)!.der);
  });
});

describe('HAProxy and stunnel', () => {
  it('HAProxy', async () => {
    const port = await freePort();
    const leaf = leaves.get('p256')!;
    const pem = certificates.write('haproxy.pem', leaf.pem + root.pem + readFileSync(leaf.keyPath, 'utf8'));
    const configuration = certificates.write(
      'haproxy.cfg',
      `defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend tls
  bind 127.0.0.1:${port} ssl crt ${pem} alpn h2,http/1.1
`,
    );
    await processes.serve(program('haproxy', 'haproxy'), ['-db', '-f', configuration], port);
    const result = await at(port, { alpn: ['h2'] });
    expectProven(result);
    expect(result.alpn).toBe('h2');
    expect(chainOf(result)).toEqual([leaf.der, root.der]);
  });

  it('stunnel', async () => {
    const port = await freePort();
    const leaf = leaves.get('rsa')!;
    const configuration = certificates.write(
      'stunnel.conf',
      `foreground = yes
pid =
[tls]
accept = 127.0.0.1:${port}
connect = 127.0.0.1:9
cert = ${leaf.certificatePath}
key = ${leaf.keyPath}
`,
    );
    await processes.serve(program('stunnel4', 'stunnel4'), [configuration], port);
    const result = await at(port);
    expectProven(result);
    expect(chainOf(result)).toEqual([leaf.der]);
  });
});

describe('node:tls', () => {
  async function listening(ecdhCurve: string, seen: (socket: TLSSocket) => void) {
    const leaf = leaves.get('p256')!;
    const server = createTlsServer({ cert: leaf.pem, key: readFileSync(leaf.keyPath), ecdhCurve }, seen);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, port: portOf(server) };
  }

  it.runIf(offeredGroups.includes(groups.x25519MlKem768))('with X25519MLKEM768 only', async () => {
    const { server, port } = await listening('X25519MLKEM768', (socket) => socket.end());
    const result = await at(port);
    server.close();
    expectProven(result);
    expect(result.group).toBe(groups.x25519MlKem768);
  });

  it('sees a finished handshake, a clean end, and the source address asked for', async () => {
    const ended = Promise.withResolvers<{ remote: string | undefined; name: unknown }>();
    const { server, port } = await listening('X25519', (socket) => {
      socket.on('error', ended.reject);
      socket.on('end', () => ended.resolve({ remote: socket.remoteAddress, name: socket.servername }));
      socket.resume();
    });
    server.on('tlsClientError', ended.reject);
    expectProven(await at(port, { localAddress: '127.0.0.9' }));
    expect(await ended.promise).toEqual({ remote: '127.0.0.9', name: 'localhost' });
    server.close();
  });
});
