/**
 * What a client wants of which host. JSON, read strictly:
 *
 *   Policy   ::= { "mode": Mode, "hosts": { HostName: Mode… }, "intranet": [ Intranet… ],
 *                  "choice": Rules, "trustContext": TCI, "quorum": Quorum, "maxAgeSeconds": 60..604800,
 *                  "vaStatus": Need, "serverStatus": Need, "routes": [ Route… ] }     all may be left out
 *   Mode     ::= "off" | "report-only" | "warn" | "enforce"                           "enforce" by default
 *   HostName ::= "www.example.org" | ".example.org"      the latter with all names below; the longest one counts
 *   Intranet ::= { "suffix": "corp.example", "roots": [ base64 DER… ] }
 *   Quorum   ::= { "matches": 0..64, "regions": 0..5, "networks": 0..64 }
 *   Need     ::= "require" | "if-known"                                               "require" by default
 *   Route    ::= "ocsp" | "well-known" | "tls-extension" | "direct"                   see below
 *
 * Hosts at and below an intranet suffix must have a certificate of the CA that it is pinned to, and of a status
 * that is known to be good; vouchers are not asked for there. Routes are taken in the order given, until the
 * vouchers suffice: `ocsp` costs nothing; `well-known`, for HTTP only, a request on the same connection before any other;
 * `tls-extension` a second connection, since node:tls cannot send extensions; `direct` asks the chosen VAs, which
 * learn thereby who visits which server: it is never taken unless named here.
 */
import { parseCertificate, PkiError } from '@mecai/pki';
import { JsonReader, parseJson, type ShownQuorum, trustContextPattern, VoucherError } from '@mecai/voucher';
import type { Route } from '../candidates.ts';
import { type ChoiceRules, defaultRules, readRules } from '../choice/rules.ts';
import { ClientError } from '../error.ts';

export const modes = ['off', 'report-only', 'warn', 'enforce'] as const;
/** `report-only` and `warn` let a connection go on that the check refused; `warn` tells the user. */
export type Mode = (typeof modes)[number];

export interface Intranet {
  /** Lower case, without a leading dot. */
  readonly suffix: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
}

export interface ClientPolicy {
  readonly mode: Mode;
  readonly hosts: ReadonlyMap<string, Mode>;
  readonly intranet: readonly Intranet[];
  readonly choice: ChoiceRules;
  readonly trustContext?: string;
  readonly quorum?: Partial<ShownQuorum>;
  readonly maxAgeSeconds: number;
  readonly vaStatus: 'require' | 'if-known';
  readonly serverStatus: 'require' | 'if-known';
  readonly routes: readonly Route[];
}

const routes: readonly Route[] = ['ocsp', 'well-known', 'tls-extension', 'direct'];
const needs = ['require', 'if-known'] as const;

export const defaultPolicy: ClientPolicy = {
  mode: 'enforce',
  hosts: new Map(),
  intranet: [],
  choice: defaultRules,
  maxAgeSeconds: 86_400,
  vaStatus: 'require',
  serverStatus: 'require',
  routes: ['ocsp', 'well-known', 'tls-extension'],
};

const maxOctets = 1024 * 1024;
const limits = { hosts: 10_000, intranet: 100, roots: 16, rootOctets: 16_384 } as const;
const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const suffixPattern = new RegExp(`^(?:${label}\\.)*${label}$`);
const hostPattern = new RegExp(`^\\.?(?:${label}\\.)*${label}$`);

/** @throws ClientError `rules-malformed` */
export function parsePolicy(json: Uint8Array): ClientPolicy {
  try {
    return readPolicy(new JsonReader(parseJson('policy', json, maxOctets), 'policy'));
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new ClientError('rules-malformed', cause.message, { cause });
  }
}

function readPolicy(root: JsonReader): ClientPolicy {
  root.only(
    'mode',
    'hosts',
    'intranet',
    'choice',
    'trustContext',
    'quorum',
    'maxAgeSeconds',
    'vaStatus',
    'serverStatus',
    'routes',
  );
  const choice = root.optional('choice');
  const trustContext = root
    .optional('trustContext')
    ?.matching(trustContextPattern, 'trust context identifier');
  const quorum = root.optional('quorum');
  const taken = root
    .optional('routes')
    ?.array(0, routes.length)
    .map((one) => one.word(routes));
  root.check(!taken || new Set(taken).size === taken.length, 'a route twice');
  return {
    mode: root.optional('mode')?.word(modes) ?? defaultPolicy.mode,
    hosts: readHosts(root.optional('hosts')),
    intranet: root.optional('intranet')?.array(0, limits.intranet).map(readIntranet) ?? [],
    choice: choice ? readRules(choice) : defaultPolicy.choice,
    ...(trustContext !== undefined && { trustContext }),
    ...(quorum && { quorum: readQuorum(quorum) }),
    maxAgeSeconds: root.optional('maxAgeSeconds')?.integer(60, 604_800) ?? defaultPolicy.maxAgeSeconds,
    vaStatus: root.optional('vaStatus')?.word(needs) ?? defaultPolicy.vaStatus,
    serverStatus: root.optional('serverStatus')?.word(needs) ?? defaultPolicy.serverStatus,
    routes: taken ?? defaultPolicy.routes,
  };
}

function readHosts(reader: JsonReader | undefined): ReadonlyMap<string, Mode> {
  const members = reader?.members(limits.hosts) ?? [];
  return new Map(
    members.map(([host, mode]) => {
      mode.check(host.length <= 254 && hostPattern.test(host), 'no host name in lower case');
      return [host, mode.word(modes)];
    }),
  );
}

function readIntranet(reader: JsonReader): Intranet {
  reader.only('suffix', 'roots');
  return {
    suffix: reader.member('suffix').matching(suffixPattern, 'host name in lower case'),
    roots: reader
      .member('roots')
      .array(1, limits.roots)
      .map((one) => {
        const der = one.bytes(1, limits.rootOctets);
        one.check(isCertificate(der), 'no certificate');
        return der;
      }),
  };
}

function readQuorum(reader: JsonReader): Partial<ShownQuorum> {
  reader.only('matches', 'regions', 'networks');
  const [matches, regions, networks] = [
    reader.optional('matches')?.integer(0, 64),
    reader.optional('regions')?.integer(0, 5),
    reader.optional('networks')?.integer(0, 64),
  ];
  return {
    ...(matches !== undefined && { matches }),
    ...(regions !== undefined && { regions }),
    ...(networks !== undefined && { networks }),
  };
}

function isCertificate(der: Uint8Array): boolean {
  try {
    parseCertificate(der);
    return true;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/** Without the trailing dot of a fully qualified name, in lower case. */
export const hostKey = (host: string): string => host.toLowerCase().replace(/\.$/, '');

export function modeFor(policy: ClientPolicy, host: string): Mode {
  const name = hostKey(host);
  const exact = policy.hosts.get(name);
  if (exact) return exact;
  for (let rest = `.${name}`; rest !== ''; ) {
    const found = policy.hosts.get(rest);
    if (found) return found;
    const dot = rest.indexOf('.', 1);
    rest = dot < 0 ? '' : rest.slice(dot);
  }
  return policy.mode;
}

/** The one with the longest suffix. */
export function intranetFor(policy: ClientPolicy, host: string): Intranet | undefined {
  const name = `.${hostKey(host)}`;
  return policy.intranet
    .filter(({ suffix }) => name.endsWith(`.${suffix}`))
    .toSorted((a, b) => b.suffix.length - a.suffix.length)[0];
}
