/** The TLS servers in an Apache configuration (core, mod_ssl, mod_alias). */
import { isIPv4, isIPv6 } from 'node:net';
import { join } from 'node:path';
import { type ApacheDirective, type ApacheOptions, parseApache } from './apache-syntax.ts';
import type { KeyPair, Listen, ServerConfiguration, Site, Unread } from './site.ts';
import { from, type SourceFiles } from './source-files.ts';

/** Throws `StapleError`. */
export function readApache(
  mainFile: string,
  files: SourceFiles,
  options: ApacheOptions,
): ServerConfiguration {
  const { directives, serverRoot, unread } = parseApache(mainFile, files, options);
  const found: Unread[] = [...unread];
  const main = directives.filter(({ section }) => section === undefined);
  const ports = listening(main);
  const hosts = directives.filter(({ name }) => name === 'virtualhost');
  const sites = hosts.flatMap((host) => {
    const listens = host.args.flatMap((text) => listensOf(text, ports));
    return siteOf(host.section!, main, listens, host, serverRoot, found);
  });
  // What no virtual host takes goes to the main server.
  const [engine] = main.filter(({ name }) => name === 'sslengine');
  const own = engine ? siteOf(main, main, ports, engine, serverRoot, found) : [];
  return { kind: 'apache', sites: [...sites, ...own], unread: found };
}

/** `Listen 443`, `Listen 192.0.2.1:443 https`. */
const listening = (main: readonly ApacheDirective[]): Listen[] =>
  main
    .filter(({ name }) => name === 'listen')
    .flatMap(({ args: [text = ''] }) => {
      const match = /^(?:(.*):)?(\d{1,5})$/.exec(text);
      return match ? [listenOn(match[1] ?? '*', Number(match[2]), text)] : [];
    });

function listenOn(host: string, port: number, text: string): Listen {
  const bare = host.replace(/^\[|\]$/g, '');
  // Apache has no default_server: the first virtual host of an address is it, by order.
  const common = { port, text, isDefault: false };
  if (bare === '*' || bare === '_default_') return { address: '*', ...common };
  return isIPv4(bare) || isIPv6(bare) ? { address: bare, ...common } : common;
}

/** `*:443`, `_default_:443`, `192.0.2.1`, `[2001:db8::1]:443`, `*:*`; without a port all that the server listens on. */
function listensOf(text: string, ports: readonly Listen[]): Listen[] {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]*)(?::(\d{1,5}|\*))?$/.exec(text);
  const host = match?.[1] ?? text;
  if (match?.[2] !== undefined && match[2] !== '*') return [listenOn(host, Number(match[2]), text)];
  return [...new Set(ports.map(({ port }) => port))].map((port) => listenOn(host, port, text));
}

function siteOf(
  section: readonly ApacheDirective[],
  main: readonly ApacheDirective[],
  listens: readonly Listen[],
  place: { file: string; line: number },
  serverRoot: string,
  unread: Unread[],
): Site[] {
  const all = (name: string, block = section) =>
    block.filter((one) => one.name === name).map(({ args }) => args);
  const inherited = (name: string) => {
    const own = all(name);
    return own.length > 0 ? own : all(name, main);
  };
  const last = (name: string) => inherited(name).at(-1);
  const engine = last('sslengine')?.[0]?.toLowerCase();
  if (engine !== 'on' && engine !== 'optional') return [];
  const path = (text: string) => from(serverRoot, text);
  const at = { file: place.file, line: place.line };

  const certificates = inherited('sslcertificatefile').map(([file = '']) => file);
  const keys = inherited('sslcertificatekeyfile').map(([file = '']) => file);
  const strange = [...certificates, ...keys].find(
    (one) => one.includes('${') || /^(pkcs11|store):/.test(one),
  );
  if (strange !== undefined) {
    unread.push({ ...at, why: `${strange} is no fixed file: list this server's certificates under "sites"` });
    return [];
  }
  if (certificates.length === 0) return [];
  const chain = last('sslcertificatechainfile')?.[0];
  const keyPairs: KeyPair[] = certificates.map((certificate, i) => ({
    certificate: path(certificate),
    // Without one the key is in the certificate's file.
    key: path(keys[i] ?? certificate),
    ...(chain !== undefined && { chain: path(chain) }),
  }));
  // Those of the main server come first, then the virtual host's own (ssl_engine_config.c).
  const commands = section === main ? main : [...main, ...section];
  const serverInfoFiles = commands
    .filter(({ name, args }) => name === 'sslopensslconfcmd' && args[0]?.toLowerCase() === 'serverinfofile')
    .map(({ args, file, line }) => ({ file, line, path: path(args[1] ?? ''), keyPair: keyPairs.length - 1 }));
  const names = [...all('servername').slice(-1), ...all('serveralias')].flat().map((name) =>
    name
      .replace(/^https?:\/\//, '')
      .replace(/:\d+$/, '')
      .toLowerCase(),
  );
  const protocols = last('sslprotocol');
  const stapling = last('sslusestapling')?.[0]?.toLowerCase() === 'on';
  const responder = last('sslstaplingforceurl')?.[0];
  const wellKnown = wellKnownDirectory(commands, last('documentroot')?.[0], serverRoot);
  return [
    {
      place: at,
      names: [...new Set(names)],
      listens,
      keyPairs,
      serverInfoFiles,
      ...(protocols && { protocols: allowedProtocols(protocols) }),
      ocsp: { on: stapling, ...(responder !== undefined && { responder }) },
      ...(wellKnown !== undefined && { wellKnown }),
    },
  ];
}

const everyProtocol = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

/** `all -TLSv1`, `+TLSv1.2`: from the left; a name without a sign begins anew. */
function allowedProtocols(words: readonly string[]): string[] {
  let allowed: string[] = [];
  for (const word of words) {
    const name = word.replace(/^[+-]/, '');
    const meant = everyProtocol.filter(
      (one) => /^all$/i.test(name) || one.toLowerCase() === name.toLowerCase(),
    );
    if (word.startsWith('-')) allowed = allowed.filter((one) => !meant.includes(one));
    else allowed = word.startsWith('+') ? [...allowed, ...meant] : meant;
  }
  return allowed;
}

const wellKnownPath = '/.well-known/mecai/';

function wellKnownDirectory(
  directives: readonly ApacheDirective[],
  documentRoot: string | undefined,
  serverRoot: string,
): string | undefined {
  // The first Alias that matches wins (mod_alias).
  const alias = directives.find(
    ({ name, args: [prefix = ' '] }) => name === 'alias' && wellKnownPath.startsWith(prefix),
  )?.args;
  if (alias?.[1] !== undefined)
    return join(from(serverRoot, alias[1]), wellKnownPath.slice(alias[0]!.length));
  return documentRoot === undefined ? undefined : join(from(serverRoot, documentRoot), wellKnownPath);
}
