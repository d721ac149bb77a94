import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StapleError } from '../error.ts';
import { readNginx } from './nginx-sites.ts';
import { type Directive, parseNginx } from './nginx-syntax.ts';
import { memoryFiles } from './testing.ts';

const main = '/etc/nginx/nginx.conf';
const parse = (text: string, more: Record<string, string> = {}) =>
  parseNginx(main, memoryFiles({ [main]: text, ...more }));
const read = (text: string, more: Record<string, string> = {}) =>
  readNginx(main, memoryFiles({ [main]: text, ...more }));
const plain = ({ name, args, block }: Directive): unknown =>
  block ? [name, ...args, block.map(plain)] : [name, ...args];

describe('nginx syntax', () => {
  test.each([
    [
      'words, quotes and comments',
      `a b "c d;" 'e#f'; # g;\nh i#j;`,
      [
        ['a', 'b', 'c d;', 'e#f'],
        ['h', 'i#j'],
      ],
    ],
    [
      'escapes',
      String.raw`a \" "b\"c" d\;e "f\ng" \.php$;`,
      [['a', '"', 'b"c', String.raw`d\;e`, 'f\ng', String.raw`\.php$`]],
    ],
    ['blocks', 'http { server { a; } } b;', [['http', [['server', [['a']]]]], ['b']]],
    [
      'variables in braces',
      'root /www/${host}/x; if ($a) { b; }',
      [
        ['root', '/www/${host}/x'],
        ['if', '($a)', [['b']]],
      ],
    ],
    ['nothing', ' \n# only a comment', []],
    ['a block without words in it', 'types { }', [['types', []]]],
  ])('%s', (_, text, expected) => {
    expect(parse(text).map(plain)).toEqual(expected);
  });

  test.each([
    ['a directive without an end', 'a b', /nginx\.conf:1: "b": the end of the file/],
    ['a block without an end', 'http {\n a;', /nginx\.conf:1: "http" has no end/],
    ['a brace too many', 'a;\n}', /nginx\.conf:2: unexpected "}"/],
    ['a directive cut short by a brace', 'http { a }', /unexpected "}"/],
    ['a block without a name', '{ a; }', /unexpected "\{"/],
    ['an open quote', 'a "b;\n', /nginx\.conf:1: a quoted word without an end/],
    ['letters after a quote', 'a "b"c;', /unexpected "c" after a quoted word/],
    ['blocks without a bottom', 'a {'.repeat(100), /deep/],
    ['a file that includes itself', 'include nginx.conf;', /includes itself/],
    ['a file that is not there', 'include none.conf;', /:1: no file \/etc\/nginx\/none\.conf/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(StapleError);
    expect(() => parse(text)).toThrow(message);
  });

  test('includes by pattern, sorted, without hidden files, and says where a directive stands', () => {
    const found = parse('a;\ninclude sites/*;\ninclude none/*.conf;', {
      '/etc/nginx/sites/b.conf': '\nb;',
      '/etc/nginx/sites/a.conf': 'include /elsewhere/[xy]?.conf;',
      '/etc/nginx/sites/.a.conf.swp': 'broken {',
      '/elsewhere/x1.conf': 'x;',
      '/elsewhere/z1.conf': 'z;',
    });
    expect(found.map(({ name, file, line }) => [name, file, line])).toEqual([
      ['a', main, 1],
      ['x', '/elsewhere/x1.conf', 1],
      ['b', '/etc/nginx/sites/b.conf', 2],
    ]);
  });

  test('any word comes back from quotes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 20 }), { minLength: 1, maxLength: 4 }), (words) => {
        // As ngx_conf_read_token has it, only these escapes mean something.
        const quoted = words.map((word) => `"${word.replace(/["\\]/g, String.raw`\$&`)}"`);
        expect(plain(parse(`a ${quoted.join(' ')};`)[0]!)).toEqual(['a', ...words]);
      }),
    );
  });

  test('whatever the text is, it is read or refused', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'http',
        'server',
        '{',
        '}',
        ';',
        '"',
        "'",
        '\\',
        '#',
        '\n',
        ' ',
        '${',
        'listen 443 ssl',
        'include x',
        'ssl_certificate a;',
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

const tls = (body: string, listen = 'listen 443 ssl;') =>
  `server { ${listen} ssl_certificate c.pem; ssl_certificate_key /k.pem; ${body} }`;

describe('nginx servers', () => {
  test('that speak TLS are found, with names, addresses and files', () => {
    const { sites, unread } = read(`
      http {
        ssl_protocols TLSv1.2 TLSv1.3;
        server { listen 80; server_name www.example.org; }
        ${tls('server_name www.example.org *.example.com ~^x _ ""; ssl_conf_command ServerInfoFile /v/www;', 'listen 192.0.2.1:443 ssl default_server; listen [2001:db8::1]:443 ssl; listen unix:/s ssl; listen 8080;')}
      }`);
    expect(unread).toEqual([]);
    expect(sites).toMatchObject([
      {
        place: { file: main, line: 5 },
        names: ['www.example.org', '*.example.com'],
        listens: [
          { address: '192.0.2.1', port: 443, isDefault: true },
          { address: '2001:db8::1', port: 443, isDefault: false },
        ],
        keyPairs: [{ certificate: '/etc/nginx/c.pem', key: '/k.pem' }],
        serverInfoFiles: [{ path: '/v/www', keyPair: 0 }],
        protocols: ['TLSv1.2', 'TLSv1.3'],
        ocsp: { on: false },
      },
    ]);
  });

  test.each([
    ['443', '0.0.0.0', 443],
    ['*:8443', '0.0.0.0', 8443],
    ['[::]:443', '::', 443],
    ['192.0.2.1', '192.0.2.1', 80],
    ['www.example.org:443', undefined, 443],
  ])('listen %s', (text, address, port) => {
    const [site] = read(`http { ${tls('', `listen ${text} ssl;`)} }`).sites;
    expect(site!.listens).toEqual([
      { ...(address !== undefined && { address }), port, text, isDefault: false },
    ]);
  });

  test('share `ssl` with every server on the same socket', () => {
    const { sites } = read(
      `http { ${tls('server_name a.test;')} ${tls('server_name b.test;', 'listen 443;')} }`,
    );
    expect(sites.map(({ names }) => names)).toEqual([['a.test'], ['b.test']]);
  });

  test('take from http { } what they do not say themselves, and nothing else', () => {
    const { sites } = read(`http {
      ssl_certificate /d.pem; ssl_certificate_key /d.key; ssl_conf_command ServerInfoFile /d;
      server { listen 443 ssl; }
      ${tls('ssl_conf_command Options PrioritizeChaCha;')} }`);
    expect(
      sites.map(({ keyPairs, serverInfoFiles }) => [keyPairs[0]!.certificate, serverInfoFiles.length]),
    ).toEqual([
      ['/d.pem', 1],
      ['/etc/nginx/c.pem', 0],
    ]);
  });

  test('with two certificates: a ServerInfoFile goes with the last one loaded, or with the one selected', () => {
    const two = 'ssl_certificate /e.pem; ssl_certificate_key /e.key;';
    const info = (body: string) => read(`http { ${tls(two + body)} }`).sites[0]!;
    expect(info('ssl_conf_command ServerInfoFile /v;').serverInfoFiles).toMatchObject([{ keyPair: 1 }]);
    const selected = info(
      'ssl_conf_command Certificate /etc/nginx/c.pem; ssl_conf_command PrivateKey /k.pem; ssl_conf_command ServerInfoFile /v;',
    );
    expect(selected.serverInfoFiles).toMatchObject([{ keyPair: 0 }]);
    expect(selected.keyPairs).toHaveLength(2);
  });

  test('whose certificates are no files, or that are no web servers, are reported and not guessed', () => {
    const { sites, unread } = read(`
      stream { server { listen 993 ssl; ssl_certificate /i.pem; } }
      http { server { listen 443 ssl; ssl_certificate /$ssl_server_name.pem; ssl_certificate_key data:$key; } }`);
    expect(sites).toEqual([]);
    expect(unread.map(({ why }) => why)).toEqual([
      expect.stringContaining('servers in stream'),
      expect.stringContaining('$ssl_server_name'),
    ]);
  });

  test.each([
    ['the root of the server', 'root /www;', '/www/.well-known/mecai/'],
    ['an alias', 'root /www; location ^~ /.well-known/mecai/ { alias /v/; }', '/v/'],
    ['the longest prefix', 'location / { root /www; } location /.well-known/ { alias /w/; }', '/w/mecai/'],
    ['a root that is relative', 'root html;', undefined],
    ['a variable', 'root /www/$host;', undefined],
    ['nothing', '', undefined],
  ])('serve /.well-known/mecai/ from %s', (_, body, directory) => {
    expect(read(`http { ${tls(body)} }`).sites[0]!.wellKnown).toBe(directory);
  });

  test('OCSP stapling', () => {
    const ocsp = (body: string) => read(`http { ${tls(body)} }`).sites[0]!.ocsp;
    expect(ocsp('ssl_stapling on; ssl_stapling_file o.der;')).toEqual({ on: true, file: '/etc/nginx/o.der' });
    expect(ocsp('ssl_stapling_responder http://127.0.0.1:9/ocsp;')).toEqual({
      on: false,
      responder: 'http://127.0.0.1:9/ocsp',
    });
  });
});
