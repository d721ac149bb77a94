import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { lintServer, type LintCode, type LintFinding, type LintOptions } from './lint.ts';
import { readApache } from './servers/apache-sites.ts';
import { readNginx } from './servers/nginx-sites.ts';
import { diskFiles } from './servers/source-files.ts';
import { encodeServerInfo } from './serverinfo.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-lint-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = (name: string) => join(directory, name);
const write = (name: string, content: string, mode = 0o600) => {
  writeFileSync(path(name), content);
  chmodSync(path(name), mode);
  return path(name);
};
const codepoints = [65_300, 65_301];
const info = (size: number, types: readonly number[] = codepoints) =>
  encodeServerInfo(types.map((type) => ({ type, data: new Uint8Array(size) })));
beforeEach(() => {
  write('a.key', 'key');
  write('good', info(1_000));
});

const defaults: LintOptions = { codepoints, ocsp: false, planProblems: [] };
const nginx = (servers: string, options: Partial<LintOptions> = {}) =>
  lintServer(readNginx(write('nginx.conf', `http { ${servers} }`), diskFiles), { ...defaults, ...options });
const apache = (hosts: string, options: Partial<LintOptions> = {}) =>
  lintServer(readApache(write('apache2.conf', hosts), diskFiles, { serverRoot: directory, defines: {} }), {
    ...defaults,
    ...options,
  });
const server = (more: string, listen = 'listen 443 ssl;') =>
  `server { ${listen} ssl_certificate a.pem; ssl_certificate_key a.key; ${more} }\n`;
const host = (more: string) =>
  `<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile a.pem\nSSLCertificateKeyFile a.key\n${more}\n</VirtualHost>\n`;
const file = (name = 'good') => `ssl_conf_command ServerInfoFile ${path(name)};`;
const codes = (findings: readonly LintFinding[]) =>
  findings.map(({ code, severity }) => (severity === 'error' ? code : `(${code})`));
const only = (findings: readonly LintFinding[]) => {
  expect(findings).toHaveLength(1);
  return findings[0]!;
};

describe('nothing is found', () => {
  test('in an nginx with a file for its default server and for the others', () => {
    expect(nginx(server(file()) + server(`server_name a.test; ${file()} ssl_protocols TLSv1.3;`))).toEqual(
      [],
    );
  });
  test('in an Apache with a file for each host', () => {
    expect(apache(host(`SSLOpenSSLConfCmd ServerInfoFile ${path('good')}`))).toEqual([]);
  });
});

describe('the default server', () => {
  test('of nginx without a file, by order or because it says so', () => {
    const found = nginx(server('server_name first.test;') + server(file()));
    expect(codes(found)).toEqual(['default-server', '(no-server-info)']);
    expect(found[0]).toMatchObject({ place: { line: 1 } });
    expect(found[0]!.message).toContain('ServerInfoFile /var/lib/mecai/first.test.serverinfo;');
    const said = nginx(server(file()) + server('', 'listen 443 ssl default_server;'));
    expect(codes(said)).toEqual(['default-server', '(no-server-info)']);
    expect(said[0]).toMatchObject({ place: { line: 2 } });
  });

  test('of another socket does not matter', () => {
    const found = nginx(server('', 'listen 8443 ssl;') + server(file()));
    expect(codes(found)).toEqual(['(no-server-info)']);
  });

  test('is the first virtual host in Apache', () => {
    const found = apache(
      host('ServerName a') + host(`ServerName b\nSSLOpenSSLConfCmd ServerInfoFile ${path('good')}`),
    );
    expect(codes(found)).toEqual(['default-server', '(no-server-info)']);
    expect(found[0]!.message).toContain('Add: SSLOpenSSLConfCmd ServerInfoFile /var/lib/mecai/a.serverinfo');
  });
});

describe('files', () => {
  const cases: readonly (readonly [LintCode, string, () => string])[] = [
    ['missing-file', 'mecai staple --once', () => path('none')],
    ['bad-file', 'Apache does not look', () => write('bad', 'nonsense')],
    ['missing-types', '65301', () => write('old', info(10, [65_300]))],
    ['permissions', 'can be written by everybody', () => write('open', info(10), 0o666)],
    ['large-voucher', 'do not fit', () => write('large', info(17_000, codepoints))],
  ];
  test.each(cases)('%s', (code, words, name) => {
    const found = nginx(server(`ssl_conf_command ServerInfoFile ${name()};`));
    expect(new Set(found.map((one) => one.code))).toEqual(new Set([code]));
    expect(found[0]!.message).toContain(words);
  });

  test('with a relative path mean something else in OpenSSL than in nginx', () => {
    expect(codes(nginx(server('ssl_conf_command ServerInfoFile good;')))).toEqual(['relative-file']);
  });

  test('a key that everybody can read', () => {
    write('a.key', 'key', 0o644);
    expect(only(nginx(server(file()))).message).toContain('everybody on this machine can read');
  });

  test('several for one server: it will not start', () => {
    write('second', info(10));
    expect(codes(nginx(server(`${file()} ${file('second')}`)))).toEqual(['several-files']);
  });

  test('one for two certificates goes with the last', () => {
    const two = 'ssl_certificate b.pem; ssl_certificate_key b.key;';
    const found = only(nginx(server(two + file())));
    expect(codes([found])).toEqual(['(dual-certificate)']);
    expect(found.message).toContain(`goes with ${path('b.pem')} only`);
  });
});

describe('the rest', () => {
  test('no TLS, what cannot be read, and what planning met', () => {
    expect(codes(nginx('server { listen 80; }'))).toEqual(['no-tls']);
    expect(
      codes(nginx(server(file('good').replace('ServerInfo', 'ServerInfo')), { planProblems: ['x'] })),
    ).toEqual(['plan']);
    expect(codes(nginx('server { listen 443 ssl; ssl_certificate $a; }'))).toEqual(['unread', 'no-tls']);
  });

  test('protocols that no client with vouchers speaks', () => {
    expect(codes(nginx(server(`${file()} ssl_protocols TLSv1 TLSv1.1;`)))).toEqual(['old-protocols']);
    expect(
      codes(apache(host(`SSLOpenSSLConfCmd ServerInfoFile ${path('good')}\nSSLProtocol -all +TLSv1.1`))),
    ).toEqual(['old-protocols']);
  });

  const listen = '127.0.0.1:9180';
  const url = `http://${listen}/ocsp`;
  test.each([
    ['off', '', '(ocsp)', `ssl_stapling_responder ${url}`],
    ['from the CA', 'ssl_stapling on;', 'ocsp', "the CA's responder"],
    ['from elsewhere', 'ssl_stapling on; ssl_stapling_responder http://127.0.0.1:1/;', 'ocsp', '127.0.0.1:1'],
    [
      'from one file for two certificates',
      'ssl_stapling on; ssl_stapling_file o; ssl_certificate b.pem;',
      'ocsp',
      '2 certificates',
    ],
  ])('OCSP stapling %s', (_, more, code, words) => {
    const found = nginx(server(file() + more), { ocsp: true, listen }).filter((one) => one.code === 'ocsp');
    expect(codes(found)).toEqual([code]);
    expect(only(found).message).toContain(words);
  });

  test('OCSP stapling as it should be', () => {
    const options = { ocsp: true, listen };
    expect(nginx(server(`${file()} ssl_stapling on; ssl_stapling_responder ${url};`), options)).toEqual([]);
    expect(nginx(server(`${file()} ssl_stapling on; ssl_stapling_file o;`), options)).toEqual([]);
    const own = `SSLOpenSSLConfCmd ServerInfoFile ${path('good')}\nSSLUseStapling on\nSSLStaplingForceURL ${url}`;
    expect(apache(host(own), options)).toEqual([]);
    expect(codes(apache(host(own), { ocsp: true }))).toEqual(['ocsp']);
  });

  test('/.well-known/mecai/ from another directory, from none, and from the right one', () => {
    const options = { wellKnown: '/var/lib/mecai/bundles' };
    const found = only(nginx(server(`${file()} root /www;`), options));
    expect(found).toMatchObject({ code: 'well-known', severity: 'error' });
    expect(found.message).toContain('location ^~ /.well-known/mecai/ { alias /var/lib/mecai/bundles/;');
    expect(only(nginx(server(file()), options)).message).toContain('nowhere');
    const right = 'location ^~ /.well-known/mecai/ { alias /var/lib/mecai/bundles/; }';
    expect(nginx(server(file() + right), options)).toEqual([]);
    const alias = `SSLOpenSSLConfCmd ServerInfoFile ${path('good')}\nAlias /.well-known/mecai/ /var/lib/mecai/bundles/`;
    expect(apache(host(alias), options)).toEqual([]);
  });
});

test('each code is explained to operators', () => {
  const all: Record<LintCode, true> = {
    'no-tls': true,
    unread: true,
    'no-server-info': true,
    'default-server': true,
    'dual-certificate': true,
    'several-files': true,
    'relative-file': true,
    'missing-file': true,
    'bad-file': true,
    'missing-types': true,
    'large-voucher': true,
    permissions: true,
    'old-protocols': true,
    ocsp: true,
    'well-known': true,
    plan: true,
  };
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/stapling.md'), 'utf8');
  const table = guide.slice(guide.indexOf('## What the lint knows'), guide.indexOf('## What happens when'));
  expect(Object.keys(all).filter((code) => !table.includes(`\`${code}\``))).toEqual([]);
});
