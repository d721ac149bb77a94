/* oxlint-disable unicorn/consistent-function-scoping -- what one test needs stands inside it */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestCertificates, TestHierarchy } from './testing/certificates.ts';
import { at, chainOf, expectProven, shownByOpenssl } from './testing/observed.ts';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from './testing/processes.ts';

const certificates = new TestCertificates();
const processes = new Processes();
const hierarchy = new TestHierarchy(certificates);
const path = (name: string) => certificates.path(name);
afterAll(async () => {
  await processes.stop();
  certificates.remove();
});

describe('nginx', () => {
  let ports: { strays: number; dual: number; old: number };

  beforeAll(async () => {
    const nginx = program('nginx', 'nginx-light');
    ports = { strays: await freePort(), dual: await freePort(), old: await freePort() };
    const [ec, rsa] = [hierarchy.leaf('p256'), hierarchy.leaf('rsa')];
    const strays = certificates.bundle(
      'nginx.pem',
      ec,
      rsa,
      hierarchy.issuer,
      hierarchy.issuer,
      hierarchy.root,
      ec,
    );
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
      expect(chainOf(await at(ports.dual, { keyType }))[0]).toEqual(hierarchy.leaf(kind).der);
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
    const leaf = hierarchy.leaf('rsa');
    const bundle = certificates.bundle('apache.pem', leaf, hierarchy.root, hierarchy.issuer, hierarchy.root);
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
    expect(chainOf(result)).toEqual(
      [leaf, hierarchy.root, hierarchy.issuer, hierarchy.root].map(({ der }) => der),
    );
    expect(chainOf(result)).toEqual(shownByOpenssl(port));
  });
});

describe('HAProxy and stunnel', () => {
  it('HAProxy', async () => {
    const port = await freePort();
    const leaf = hierarchy.leaf('p256');
    const pem = certificates.write(
      'haproxy.pem',
      leaf.pem + hierarchy.root.pem + readFileSync(leaf.keyPath, 'utf8'),
    );
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
    expect(chainOf(result)).toEqual([leaf.der, hierarchy.root.der]);
  });

  it('stunnel', async () => {
    const port = await freePort();
    const leaf = hierarchy.leaf('rsa');
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
