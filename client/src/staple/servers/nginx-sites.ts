/** The TLS servers in an nginx configuration (ngx_http_core_module, ngx_http_ssl_module). */
import { dirname, isAbsolute, join } from 'node:path';
import { isIPv4, isIPv6 } from 'node:net';
import { type Directive, parseNginx } from './nginx-syntax.ts';
import { from, type SourceFiles } from './source-files.ts';
import type { KeyPair, Listen, OcspStapling, ServerConfiguration, Site, Unread } from './site.ts';

/** Throws `StapleError`. */
export function readNginx(mainFile: string, files: SourceFiles): ServerConfiguration {
  const directory = dirname(mainFile);
  const unread: Unread[] = [];
  const sites: Site[] = [];
  for (const one of parseNginx(mainFile, files)) {
    if (one.name === 'http' && one.block) {
      const http = one.block;
      const servers = http.filter(({ name, block }) => name === 'server' && block !== undefined);
      const secure = secureSockets(servers);
      sites.push(...servers.flatMap((server) => siteOf(server, http, directory, secure, unread)));
    } else if ((one.name === 'stream' || one.name === 'mail') && one.block && speaksTls(one.block)) {
      const why = `servers in ${one.name} { } are not read: list them under "sites"`;
      unread.push({ file: one.file, line: one.line, why });
    }
  }
  return { kind: 'nginx', sites, unread };
}

const speaksTls = (block: readonly Directive[]): boolean =>
  block.some(({ name, block: inner }) => name === 'ssl_certificate' || (inner && speaksTls(inner)));

type Written = Omit<Listen, 'isDefault'>;

/** `ssl` on one listen is that of the socket, whichever server says it. */
function secureSockets(servers: readonly Directive[]): ReadonlySet<string> {
  const secure = new Set<string>();
  for (const { block = [] } of servers) {
    const everywhere = values(block, 'ssl').at(-1)?.[0] === 'on';
    for (const { args } of listensOf(block)) {
      const options = args.slice(1);
      if (everywhere || options.includes('ssl') || options.includes('quic')) secure.add(socketKey(args[0]!));
    }
  }
  return secure;
}

const listensOf = (block: readonly Directive[]): readonly Directive[] =>
  block.filter(({ name, args }) => name === 'listen' && args.length > 0 && !args[0]!.startsWith('unix:'));

function socketKey(text: string): string {
  const { address = text, port } = written(text);
  return `${address} ${port}`;
}

/** `443`, `192.0.2.1`, `192.0.2.1:443`, `[::]:443`, `*:443`, `host:443`. */
function written(text: string): Written {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*?)(?::(\d{1,5}))?|(\d{1,5}))$/.exec(text);
  const portOnly = /^\d{1,5}$/.test(text);
  const host = portOnly ? '*' : (match?.[1] ?? '').replace(/^\[|\]$/g, '');
  const port = Number(portOnly ? text : (match?.[2] ?? 80));
  if (host === '*') return { address: '0.0.0.0', port, text };
  if (isIPv4(host) || isIPv6(host)) return { address: host, port, text };
  return { port, text };
}

function siteOf(
  server: Directive,
  http: readonly Directive[],
  directory: string,
  secure: ReadonlySet<string>,
  unread: Unread[],
): Site[] {
  const block = server.block!;
  const listens = listensOf(block)
    .filter(({ args }) => secure.has(socketKey(args[0]!)))
    .map(({ args }) => ({
      ...written(args[0]!),
      isDefault: args.includes('default_server') || args.includes('default'),
    }));
  if (listens.length === 0) return [];
  const place = { file: server.file, line: server.line };
  // What a server does not say it has from http { }, all of it or nothing.
  const inherited = (name: string) => {
    const own = values(block, name);
    return own.length > 0 ? own : values(http, name);
  };
  const last = (name: string) => inherited(name).at(-1);
  const path = (text: string) => from(directory, text);

  const certificates = inherited('ssl_certificate').map(([file = '']) => file);
  const keys = inherited('ssl_certificate_key').map(([file = '']) => file);
  const strange = [...certificates, ...keys].find(
    (one) => one.includes('$') || /^(data|engine|store):/.test(one),
  );
  if (strange !== undefined) {
    const why = `${strange} is no fixed file: list this server's certificates under "sites"`;
    unread.push({ ...place, why });
    return [];
  }
  const ownCommands = block.filter(({ name }) => name === 'ssl_conf_command');
  const commands =
    ownCommands.length > 0 ? ownCommands : http.filter(({ name }) => name === 'ssl_conf_command');
  const pairs: KeyPair[] = certificates.map((certificate, i) => ({
    certificate: path(certificate),
    key: path(keys[i] ?? ''),
  }));
  const { keyPairs, serverInfoFiles } = confCommands(commands, pairs);
  const protocols = last('ssl_protocols');
  const wellKnown = wellKnownDirectory(block, last('root')?.[0]);
  return [
    {
      place,
      names: values(block, 'server_name')
        .flat()
        .filter((name) => name !== '' && name !== '_' && !name.startsWith('~')),
      listens,
      keyPairs,
      serverInfoFiles,
      ...(protocols && { protocols }),
      ocsp: ocspStapling(last, path),
      ...(wellKnown !== undefined && { wellKnown }),
    },
  ];
}

const values = (block: readonly Directive[], name: string): (readonly string[])[] =>
  block.filter((one) => one.name === name).map(({ args }) => args);

/**
 * `ssl_conf_command` goes to OpenSSL in the order written, after the certificates: a ServerInfoFile belongs to
 * the certificate that was loaded last, which a `Certificate` command changes (SSL_CONF_cmd(3)).
 */
function confCommands(
  commands: readonly Directive[],
  loaded: readonly KeyPair[],
): Pick<Site, 'keyPairs' | 'serverInfoFiles'> {
  const keyPairs = [...loaded];
  const serverInfoFiles: Site['serverInfoFiles'][number][] = [];
  let current = keyPairs.length - 1;
  for (const { args, file, line } of commands) {
    const [command = '', value = ''] = args;
    switch (command.toLowerCase()) {
      case 'certificate': {
        const known = keyPairs.findIndex(({ certificate }) => certificate === value);
        current = known >= 0 ? known : keyPairs.push({ certificate: value, key: '' }) - 1;
        break;
      }
      case 'privatekey':
        if (keyPairs[current]?.key === '') keyPairs[current] = { ...keyPairs[current]!, key: value };
        break;
      case 'serverinfofile':
        serverInfoFiles.push({ file, line, path: value, keyPair: current });
        break;
    }
  }
  return { keyPairs, serverInfoFiles };
}

function ocspStapling(
  last: (name: string) => readonly string[] | undefined,
  path: (text: string) => string,
): OcspStapling {
  const file = last('ssl_stapling_file')?.[0];
  const responder = last('ssl_stapling_responder')?.[0];
  return {
    on: last('ssl_stapling')?.[0] === 'on',
    ...(file !== undefined && { file: path(file) }),
    ...(responder !== undefined && { responder }),
  };
}

const wellKnownPath = '/.well-known/mecai/';

/** By the longest prefix; regular expressions that could come first are what `--check` finds out. */
function wellKnownDirectory(block: readonly Directive[], serverRoot: string | undefined): string | undefined {
  const [location] = block
    .filter(({ name, args }) => name === 'location' && wellKnownPath.startsWith(args.at(-1) ?? ' '))
    .filter(({ args }) => args.length === 1 || (args.length === 2 && args[0] === '^~'))
    .toSorted((a, b) => b.args.at(-1)!.length - a.args.at(-1)!.length);
  const inner = location?.block ?? [];
  const prefix = location?.args.at(-1) ?? '';
  const alias = values(inner, 'alias').at(-1)?.[0];
  const root = values(inner, 'root').at(-1)?.[0] ?? serverRoot;
  const base = alias ?? root;
  // What is relative is so to nginx's prefix, which is not to be known from here.
  if (base === undefined || base.includes('$') || !isAbsolute(base)) return undefined;
  return alias === undefined ? join(base, wellKnownPath) : join(alias, wellKnownPath.slice(prefix.length));
}
