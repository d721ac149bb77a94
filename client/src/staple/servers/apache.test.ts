import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StapleError } from '../error.ts';
import { readApache } from './apache-sites.ts';
import { parseApache } from './apache-syntax.ts';
import { memoryFiles } from './testing.ts';

const main = '/etc/apache2/apache2.conf';
const read = (text: string, more: Record<string, string> = {}, defines: Record<string, string> = {}) =>
  readApache(main, memoryFiles({ [main]: text, ...more }), { serverRoot: '/etc/apache2', defines });
const host = (body: string, address = '*:443') =>
  `<VirtualHost ${address}>\nSSLEngine on\nSSLCertificateFile c.pem\nSSLCertificateKeyFile /k.pem\n${body}\n</VirtualHost>\n`;
const names = (...args: Parameters<typeof read>) => read(...args).sites.map((site) => site.names.join(' '));

describe('Apache servers', () => {
  test('that speak TLS are found, with names, addresses and files', () => {
    const { sites, unread } = read(
      `# a comment\nListen 443\n<VirtualHost *:80>\nServerName plain.test\n</VirtualHost>\n` +
        host(
          'servername https://WWW.Example.org:443\nServerAlias *.example.com "a b.test"\nSSLOpenSSLConfCmd ServerInfoFile \\\n  /v/www\nSSLProtocol all -TLSv1 -TLSv1.1\nDocumentRoot "/var/www"',
          '192.0.2.1:443 [2001:db8::1]:443',
        ),
    );
    expect(unread).toEqual([]);
    expect(sites).toMatchObject([
      {
        place: { file: main, line: 6 },
        names: ['www.example.org', '*.example.com', 'a b.test'],
        listens: [
          { address: '192.0.2.1', port: 443 },
          { address: '2001:db8::1', port: 443 },
        ],
        keyPairs: [{ certificate: '/etc/apache2/c.pem', key: '/k.pem' }],
        serverInfoFiles: [{ path: '/v/www', keyPair: 0, line: 12 }],
        protocols: ['TLSv1.2', 'TLSv1.3'],
        wellKnown: '/var/www/.well-known/mecai/',
        ocsp: { on: false },
      },
    ]);
  });

  test.each([
    ['*:443', [['*', 443]]],
    ['_default_:8443', [['*', 8443]]],
    [
      '*',
      [
        ['*', 443],
        ['*', 8443],
      ],
    ],
    [
      '192.0.2.1:*',
      [
        ['192.0.2.1', 443],
        ['192.0.2.1', 8443],
      ],
    ],
    ['www.example.org:443', [[undefined, 443]]],
  ])('on %s', (address, expected) => {
    const [site] = read(`Listen 443\nListen [::]:8443 https\n${host('', address)}`).sites;
    expect(site!.listens.map((one) => [one.address, one.port])).toEqual(expected);
  });

  test('behind conditions, as the server would judge them', () => {
    const within = (name: string, argument: string, server: string) =>
      `<${name} ${argument}>\n${host(`ServerName ${server}`)}</${name}>\n`;
    expect(
      names(
        `LoadModule ssl_module modules/mod_ssl.so\nDefine here\n` +
          within('IfModule', 'ssl_module', 'a') +
          within('IfModule', 'mod_ssl.c', 'b') +
          within('IfModule', '!mod_ssl.c', 'c') +
          within('IfModule', 'mod_gnutls.c', 'd') +
          within('IfDefine', 'here', 'e') +
          within('IfDefine', '!there', 'f') +
          within('IfFile', '/etc/apache2/apache2.conf', 'g') +
          '<IfModule mod_gnutls.c>\n<IfModule x>\n</IfModule>\nbroken "\n</IfModule>\n' +
          within('IfDefine', 'outside', 'h'),
        {},
        { outside: '' },
      ),
    ).toEqual(['a', 'b', 'e', 'f', 'g', 'h']);
  });

  test('in included files, whole directories among them', () => {
    const more = {
      '/etc/apache2/sites/b.conf': host('ServerName ${name}.test'),
      '/etc/apache2/sites/a.conf': `Define name b\n${host('ServerName a.test')}`,
      '/elsewhere/deep/er/c.conf': host('ServerName c.test'),
    };
    const text =
      'IncludeOptional sites/*.conf\nIncludeOptional none/*.conf\nInclude "/elsewhere"\nInclude ${UNKNOWN}/x\n';
    const { sites, unread } = read(text, more);
    expect(sites.flatMap((site) => site.names)).toEqual(['a.test', 'b.test', 'c.test']);
    expect(unread).toMatchObject([{ line: 4, why: expect.stringContaining('${UNKNOWN}') }]);
  });

  test('that come from macros or hide behind what cannot be judged are reported and not guessed', () => {
    const { sites, unread } = read(
      `<Macro VHost $name>\n${host('ServerName $name')}</Macro>\nUse VHost a.test\n` +
        `<IfVersion >= 2.4>\n${host('ServerName b.test')}</IfVersion>\n<IfVersion >= 2.4>\nKeepAlive on\n</IfVersion>\n` +
        '<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile pkcs11:token\n</VirtualHost>',
    );
    expect(sites).toEqual([]);
    expect(unread.map(({ why }) => why)).toEqual([
      expect.stringContaining('Use VHost'),
      expect.stringContaining('<ifversion >= 2.4>'),
      expect.stringContaining('pkcs11:token'),
    ]);
  });

  test('without a virtual host', () => {
    const { sites } = read(
      'Listen 127.0.0.1:8443\nServerName a.test\nSSLEngine on\nSSLCertificateFile /both.pem',
    );
    expect(sites).toMatchObject([
      {
        names: ['a.test'],
        listens: [{ address: '127.0.0.1', port: 8443 }],
        keyPairs: [{ key: '/both.pem' }],
      },
    ]);
  });

  test('with several certificates, a chain file, and what the main server says', () => {
    const [site] = read(
      `SSLOpenSSLConfCmd serverinfofile /main\nSSLUseStapling On\nSSLStaplingForceURL http://127.0.0.1:9/ocsp\nAlias /.well-known/ /w/\n${host('SSLCertificateFile /e.pem\nSSLCertificateKeyFile /e.key\nSSLCertificateChainFile chain.pem')}`,
    ).sites;
    expect(site).toMatchObject({
      keyPairs: [
        { certificate: '/etc/apache2/c.pem' },
        { certificate: '/e.pem', key: '/e.key', chain: '/etc/apache2/chain.pem' },
      ],
      serverInfoFiles: [{ path: '/main', keyPair: 1 }],
      ocsp: { on: true, responder: 'http://127.0.0.1:9/ocsp' },
      wellKnown: '/w/mecai/',
    });
  });

  test.each([
    ['all', 4],
    ['-all +TLSv1.3', 1],
    ['TLSv1.2', 1],
    ['all -TLSv1.3', 3],
    ['SSLv3', 0],
  ])('SSLProtocol %s', (words, count) => {
    expect(read(host(`SSLProtocol ${words}`)).sites[0]!.protocols).toHaveLength(count);
  });
});

describe('Apache syntax', () => {
  test.each([
    ['a section without an end', 'A\n<VirtualHost *>\nB', /apache2\.conf:2: <virtualhost> has no end/],
    ['a skipped section without an end', '<IfModule none>\n', /apache2\.conf:1: <ifmodule> has no end/],
    ['an end without a section', 'A\n</VirtualHost>', /apache2\.conf:2: unexpected <\/VirtualHost>/],
    ['the end of another section', '<A>\n</B>', /unexpected/],
    ['an open quote', 'ServerName "a', /:1: a quoted word without an end/],
    ['a file that includes itself', 'Include apache2.conf', /includes itself/],
    ['a file that is not there', 'Include none.conf', /:1: no file \/etc\/apache2\/none\.conf/],
    ['sections without a bottom', '<A>\n'.repeat(100), /deep/],
  ])('refuses %s', (_, text, message) => {
    expect(() => read(text)).toThrow(StapleError);
    expect(() => read(text)).toThrow(message);
  });

  test('any word comes back from quotes', () => {
    const word = fc.string({ maxLength: 20 }).filter((text) => !/[\n\r$]/.test(text));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
        const quoted = words.map((one) => `"${one.replace(/["\\]/g, String.raw`\$&`)}"`);
        const { directives } = parseApache(main, memoryFiles({ [main]: `a ${quoted.join(' ')}` }), {
          serverRoot: '/',
          defines: {},
        });
        expect(directives[0]!.args).toEqual(words);
      }),
    );
  });

  test('whatever the text is, it is read or refused', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '<VirtualHost *:443>',
        '</VirtualHost>',
        '<IfModule x>',
        '</IfModule>',
        '<',
        '>',
        '"',
        '\\',
        '\n',
        '\n',
        ' ',
        '${a}',
        'SSLEngine on\n',
        'Include x',
        'Define a ${a}\n',
        'SSLCertificateFile a\n',
        'SSLProtocol all\n',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          read(pieces.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(StapleError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
