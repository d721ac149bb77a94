/** Whether a server's configuration can staple vouchers: what stands in the way, and what to write instead. */
import { isAbsolute } from 'node:path';
import { fileFindings } from './lint-files.ts';
import type { Place, ServerConfiguration, Site } from './servers/site.ts';

export type LintCode =
  /** No server in the configuration speaks TLS. */
  | 'no-tls'
  /** A part that the reader does not understand. */
  | 'unread'
  /** A server without a ServerInfoFile: its clients get no voucher in the handshake. */
  | 'no-server-info'
  /** The extension types are those of the address's default server, which has none. */
  | 'default-server'
  /** One ServerInfoFile where there are several certificates: it goes with the last only. */
  | 'dual-certificate'
  /** Several ServerInfoFiles for one server: OpenSSL takes each extension type once. */
  | 'several-files'
  | 'relative-file'
  | 'missing-file'
  /** A file that OpenSSL refuses. */
  | 'bad-file'
  /** VAs that the file has no extension for, not even an empty one. */
  | 'missing-types'
  /** An extension so large that three of its kind do not fit into a handshake. */
  | 'large-voucher'
  | 'permissions'
  /** Neither TLS 1.2 nor TLS 1.3. */
  | 'old-protocols'
  | 'ocsp'
  | 'well-known'
  /** Found while planning what to fetch. */
  | 'plan';

export interface LintFinding {
  readonly code: LintCode;
  /** `error`: vouchers do not arrive, or the server breaks. `advice`: it works, and could be better. */
  readonly severity: 'error' | 'advice';
  readonly place?: Place;
  /** What is so, and what to do. */
  readonly message: string;
}

export interface LintOptions {
  /** Extension types that each file must have. */
  readonly codepoints: readonly number[];
  /** Directory that bundles are written to. */
  readonly wellKnown?: string;
  /** Vouchers are to travel in the OCSP slot. */
  readonly ocsp: boolean;
  /** Address of the stapler's own responder, `host:port`. */
  readonly listen?: string;
  /** Problems that planning met. */
  readonly planProblems: readonly string[];
}

export function lintServer(configuration: ServerConfiguration, options: LintOptions): LintFinding[] {
  const { sites, unread, kind } = configuration;
  const found: LintFinding[] = [
    ...unread.map(
      ({ why, ...place }) => ({ code: 'unread', severity: 'error', place, message: why }) as const,
    ),
    ...options.planProblems.map((message) => ({ code: 'plan', severity: 'error', message }) as const),
  ];
  if (sites.length === 0) {
    found.push({ code: 'no-tls', severity: 'error', message: 'no server in this configuration speaks TLS' });
  }
  found.push(...defaultServers(sites, kind));
  for (const site of sites) {
    found.push(...serverInfo(site, kind), ...protocols(site), ...ocspSlot(site, kind, options));
    found.push(...wellKnown(site, kind, options));
  }
  found.push(...fileFindings(sites, options.codepoints));
  return found;
}

const stubName = (site: Site): string => site.names.find((name) => !name.includes('*')) ?? 'default';

const line = (kind: ServerConfiguration['kind'], file: string): string =>
  kind === 'nginx' ? `ssl_conf_command ServerInfoFile ${file};` : `SSLOpenSSLConfCmd ServerInfoFile ${file}`;

/**
 * A connection begins with the context of the address's default server (in Apache, of its first virtual host) and
 * goes over to the named one by SNI; OpenSSL collects the client's extensions before that, by the types which the
 * first context knows.
 */
function defaultServers(sites: readonly Site[], kind: ServerConfiguration['kind']): LintFinding[] {
  const sockets = new Map<string, Site[]>();
  for (const site of sites) {
    for (const { address, port, text } of site.listens) {
      const key = `${address ?? text} ${port}`;
      sockets.set(key, [...(sockets.get(key) ?? []), site]);
    }
  }
  const found = new Map<Site, LintFinding>();
  for (const [key, sharing] of sockets) {
    const [address, port] = key.split(' ');
    const isDefault = (site: Site) =>
      site.listens.some((one) => one.isDefault && `${one.address ?? one.text} ${one.port}` === key);
    const first = sharing.find(isDefault) ?? sharing[0]!;
    const needy = sharing.find((site) => site !== first && site.serverInfoFiles.length > 0);
    if (!needy || first.serverInfoFiles.length > 0) continue;
    found.set(first, {
      code: 'default-server',
      severity: 'error',
      place: first.place,
      message:
        `this is the ${kind === 'nginx' ? 'default server' : 'first virtual host'} of ${address} port ${port} and has ` +
        `no ServerInfoFile, so the one of ${stubName(needy)} is never sent. Add: ${line(kind, `/var/lib/mecai/${stubName(first)}.serverinfo`)}`,
    });
  }
  return [...found.values()];
}

function serverInfo(site: Site, kind: ServerConfiguration['kind']): LintFinding[] {
  const { serverInfoFiles, keyPairs, place } = site;
  const [file, second] = serverInfoFiles;
  const found: LintFinding[] = [];
  if (!file) {
    const add = line(kind, `/var/lib/mecai/${stubName(site)}.serverinfo`);
    const message = `no voucher goes with the handshake. Add: ${add}`;
    return [{ code: 'no-server-info', severity: 'advice', place, message }];
  }
  if (second) {
    const message =
      'a second ServerInfoFile for one server: OpenSSL takes each extension type once and the server will not start. ' +
      'Keep the one of the certificate that most clients get';
    found.push({ code: 'several-files', severity: 'error', place: second, message });
  }
  if (keyPairs.length > 1) {
    const { certificate } = keyPairs[file.keyPair]!;
    const message =
      `${keyPairs.length} certificates and one ServerInfoFile, which goes with ${certificate} only: clients that get ` +
      'another certificate find no voucher in the handshake. Serve /.well-known/mecai/ for them, or keep one certificate';
    found.push({ code: 'dual-certificate', severity: 'advice', place: file, message });
  }
  for (const one of serverInfoFiles) {
    if (isAbsolute(one.path)) continue;
    const message = `${one.path}: OpenSSL takes a relative path from wherever the server was started. Write it in full`;
    found.push({ code: 'relative-file', severity: 'error', place: one, message });
  }
  return found;
}

function protocols({ protocols: allowed, place }: Site): LintFinding[] {
  if (!allowed || allowed.some((one) => /^TLSv1\.[23]$/i.test(one))) return [];
  const message = `only ${allowed.join(' ')}: clients that check vouchers speak TLS 1.2 and 1.3`;
  return [{ code: 'old-protocols', severity: 'error', place, message }];
}

function ocspSlot(site: Site, kind: ServerConfiguration['kind'], options: LintOptions): LintFinding[] {
  const { ocsp, keyPairs, place } = site;
  const finding = (severity: LintFinding['severity'], message: string): LintFinding[] => [
    { code: 'ocsp', severity, place, message },
  ];
  if (!options.ocsp) return [];
  const url = options.listen === undefined ? undefined : `http://${options.listen}/ocsp`;
  const responder =
    kind === 'nginx'
      ? `ssl_stapling on; ssl_stapling_responder ${url};`
      : `SSLUseStapling on, SSLStaplingForceURL ${url}`;
  if (!ocsp.on) {
    return finding(
      'advice',
      `OCSP stapling is off, so no voucher travels in the OCSP slot. Add: ${responder}`,
    );
  }
  if (ocsp.file !== undefined) {
    if (keyPairs.length === 1) return [];
    return finding(
      'error',
      `ssl_stapling_file is sent with each of ${keyPairs.length} certificates. Use: ${responder}`,
    );
  }
  if (url === undefined)
    return finding('error', 'say in "listen" where the stapler\'s OCSP responder is to be');
  if (ocsp.responder !== url) {
    const now = ocsp.responder ?? "the CA's responder";
    return finding('error', `the server staples what ${now} answers, without vouchers. Use: ${responder}`);
  }
  return [];
}

function wellKnown(site: Site, kind: ServerConfiguration['kind'], options: LintOptions): LintFinding[] {
  if (options.wellKnown === undefined) return [];
  const directory = options.wellKnown.replace(/\/$/, '');
  if (site.wellKnown?.replace(/\/$/, '') === directory) return [];
  const add =
    kind === 'nginx'
      ? `location ^~ /.well-known/mecai/ { alias ${directory}/; types { } default_type application/mecai-vouchers; }`
      : `Alias /.well-known/mecai/ ${directory}/`;
  const where = site.wellKnown === undefined ? 'nowhere that this reader sees' : site.wellKnown;
  const message = `/.well-known/mecai/ is served from ${where}, and bundles are written to ${directory}. Add: ${add}`;
  return [{ code: 'well-known', severity: 'error', place: site.place, message }];
}
