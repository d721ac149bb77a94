/** What vouchers are wanted for, and where they go: from the server's configuration and the stapler's own. */
import { formatAddress, parseAddress } from '@mecai/addresses';
import {
  type Certificate,
  matchesHostName,
  parseCertificate,
  pemCertificates,
  PkiError,
  subjectAltNames,
} from '@mecai/pki';
import { isServerName, type StartTlsProtocol } from '@mecai/voucher';
import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { ListedSite, StapleConfig } from './config.ts';
import { StapleError } from './error.ts';
import type { KeyPair, Listen, ServerConfiguration, Site } from './servers/site.ts';
import type { SourceFiles } from './servers/source-files.ts';

export interface Endpoint {
  readonly ipv4?: Uint8Array;
  readonly ipv6?: Uint8Array;
  readonly port: number;
}

/** One certificate at one endpoint: one voucher of each VA. */
export interface Target extends Endpoint {
  /** The same as long as certificate and endpoint are. */
  readonly id: string;
  /** Sent as SNI; absent: nothing can be asked for. */
  readonly name?: string;
  readonly startTls?: StartTlsProtocol;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key?: KeyObject;
  readonly serverInfoFiles: readonly string[];
  readonly ocspFiles: readonly string[];
}

export interface Plan {
  readonly targets: readonly Target[];
  /** Files that have to be there for the sake of others, all types empty. */
  readonly stubs: readonly string[];
  /** What could not be made sense of, for people. */
  readonly problems: readonly string[];
}

type Places = Pick<StapleConfig, 'addresses' | 'nat' | 'sites'>;

export function planTargets(
  configuration: ServerConfiguration | undefined,
  places: Places,
  files: SourceFiles,
): Plan {
  const planner = new Planner(places, files);
  for (const site of configuration?.sites ?? []) planner.site(site);
  for (const site of places.sites) planner.listed(site);
  return planner.plan();
}

class Planner {
  readonly #places: Places;
  readonly #files: SourceFiles;
  readonly #targets = new Map<string, Target>();
  /** Which target writes a file; undefined: none may. */
  readonly #writers = new Map<string, string | undefined>();
  readonly #problems = new Set<string>();

  constructor(places: Places, files: SourceFiles) {
    this.#places = places;
    this.#files = files;
  }

  plan(): Plan {
    const targets = [...this.#targets.values()].map((target) => ({
      ...target,
      serverInfoFiles: target.serverInfoFiles.filter((file) => this.#writers.get(file) === target.id),
      ocspFiles: target.ocspFiles.filter((file) => this.#writers.get(file) === target.id),
    }));
    const written = new Set(targets.flatMap(({ serverInfoFiles }) => serverInfoFiles));
    const stubs = [...this.#writers.keys()].filter((file) => !written.has(file) && !this.#isOcsp(file));
    return { targets, stubs, problems: [...this.#problems] };
  }

  readonly #ocspFiles = new Set<string>();
  #isOcsp(file: string): boolean {
    return this.#ocspFiles.has(file);
  }

  site(site: Site): void {
    const where = `${site.place.file}:${site.place.line}`;
    const endpoints = this.#endpoints(site, where);
    for (const { path } of site.serverInfoFiles) this.#writers.set(path, this.#writers.get(path));
    for (const [index, pair] of site.keyPairs.entries()) {
      const identity = this.#attempt(where, () => readIdentity(pair, this.#files));
      if (!identity) continue;
      const serverInfoFiles = site.serverInfoFiles
        .filter((one) => one.keyPair === index)
        .map((one) => one.path);
      // One response for several certificates would be wrong for all but one.
      const ocspFiles = site.ocsp.file !== undefined && site.keyPairs.length === 1 ? [site.ocsp.file] : [];
      const name = nameFor(site.names, identity.certificates[0]!);
      if (endpoints.length > 1 && serverInfoFiles.length > 0) {
        this.#problems.add(
          `${where}: ${endpoints.map(endpointText).join(' and ')} share one ServerInfoFile, and a voucher is for one ` +
            'endpoint: give each a server of its own',
        );
      }
      const single = endpoints.length === 1;
      for (const endpoint of endpoints) {
        this.#add({
          ...endpoint,
          ...(name !== undefined && { name }),
          chain: identity.certificates.map((one) => one.der),
          ...(identity.key && { key: identity.key }),
          serverInfoFiles: single ? serverInfoFiles : [],
          ocspFiles: single ? ocspFiles : [],
        });
      }
    }
  }

  listed(site: ListedSite): void {
    const { name, addresses, port, startTls, certificate, key, serverInfoFile, ocspFile } = site;
    const where = `sites: ${name}`;
    const pair = { certificate, key: key ?? '' };
    const identity = this.#attempt(where, () => readIdentity(pair, this.#files));
    if (!identity) return;
    this.#add({
      ...endpointOf(addresses, port),
      name,
      ...(startTls && { startTls }),
      chain: identity.certificates.map((one) => one.der),
      ...(identity.key && { key: identity.key }),
      serverInfoFiles: serverInfoFile === undefined ? [] : [serverInfoFile],
      ocspFiles: ocspFile === undefined ? [] : [ocspFile],
    });
  }

  #add(wanted: Omit<Target, 'id'>): void {
    const id = targetId(wanted);
    const known = this.#targets.get(id);
    const target: Target = {
      ...wanted,
      ...known,
      id,
      serverInfoFiles: [...new Set([...(known?.serverInfoFiles ?? []), ...wanted.serverInfoFiles])],
      ocspFiles: [...new Set([...(known?.ocspFiles ?? []), ...wanted.ocspFiles])],
    };
    this.#targets.set(id, target);
    for (const file of wanted.ocspFiles) this.#ocspFiles.add(file);
    for (const file of [...wanted.serverInfoFiles, ...wanted.ocspFiles]) {
      const writer = this.#claimed.has(file) ? this.#writers.get(file) : id;
      if (writer !== id) {
        this.#problems.add(`${file}: for two certificates or endpoints, so it can hold vouchers of neither`);
      }
      this.#claimed.add(file);
      this.#writers.set(file, writer === id ? id : undefined);
    }
  }
  readonly #claimed = new Set<string>();

  /** The endpoints of a server, IPv4 and IPv6 of one port together if there is one of each. */
  #endpoints(site: Site, where: string): Endpoint[] {
    const found = site.listens.flatMap((listen) =>
      this.#publicAddresses(listen, where).map((address) => ({ address, port: listen.port })),
    );
    const ports = [...new Set(found.map(({ port }) => port))];
    return ports.flatMap((port) => {
      const addresses = [...new Set(found.filter((one) => one.port === port).map((one) => one.address))];
      const v4 = addresses.filter((one) => !one.includes(':'));
      const v6 = addresses.filter((one) => one.includes(':'));
      if (v4.length <= 1 && v6.length <= 1) return [endpointOf(addresses, port)];
      return addresses.map((one) => endpointOf([one], port));
    });
  }

  #publicAddresses({ address, text }: Listen, where: string): string[] {
    const { addresses, nat } = this.#places;
    if (address === '*' || address === '::' || address === '0.0.0.0') {
      const fitting = addresses.filter((one) => address === '*' || one.includes(':') === (address === '::'));
      if (fitting.length > 0) return fitting.map(canonical);
      this.#problems.add(`${where}: listens on all addresses (${text}): say in "addresses" which are public`);
      return [];
    }
    if (address === undefined) {
      this.#problems.add(`${where}: "${text}" is no address: list this server under "sites"`);
      return [];
    }
    return [nat[address] ?? address].map(canonical);
  }

  #attempt<T>(where: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof StapleError)) throw error;
      this.#problems.add(`${where}: ${error.message}`);
      return undefined;
    }
  }
}

interface Identity {
  readonly certificates: readonly Certificate[];
  readonly key?: KeyObject;
}

/** Throws `StapleError` `unreadable-file`. */
function readIdentity(pair: KeyPair, files: SourceFiles): Identity {
  const unreadable = (file: string, why: string, cause?: unknown) =>
    new StapleError('unreadable-file', `${file}: ${why}`, { cause });
  const read = (file: string) => {
    try {
      return pemCertificates(files.read(file));
    } catch (cause) {
      if (!(cause instanceof PkiError)) throw cause;
      throw unreadable(file, cause.message, cause);
    }
  };
  const own = read(pair.certificate);
  if (own.length === 0) throw unreadable(pair.certificate, 'no certificate in it');
  const certificates = [...own, ...(pair.chain === undefined ? [] : read(pair.chain))];
  if (pair.key === '') return { certificates };
  let key: KeyObject;
  try {
    key = createPrivateKey(files.read(pair.key));
  } catch (cause) {
    if (cause instanceof StapleError) throw cause;
    throw unreadable(pair.key, 'no private key in PEM, or an encrypted one', cause);
  }
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!spki.equals(certificates[0]!.spki))
    throw unreadable(pair.key, `is not the key of ${pair.certificate}`);
  return { certificates, key };
}

/** A name the server answers to that is in the certificate, or the certificate's own. */
function nameFor(names: readonly string[], leaf: Certificate): string | undefined {
  let presented: ReturnType<typeof subjectAltNames>;
  try {
    presented = subjectAltNames(parseCertificate(leaf.der));
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
  const own = names.map((name) => name.toLowerCase()).filter(isServerName);
  return own.find((name) => matchesHostName(presented, name)) ?? presented.dns.find(isServerName);
}

/** A certificate that signs itself: no VA can find a path for it. */
export const isSelfSigned = ({ chain }: Pick<Target, 'chain'>): boolean => {
  const { issuer, subject } = parseCertificate(chain[0]!);
  return Buffer.compare(issuer, subject) === 0;
};

function endpointOf(addresses: readonly string[], port: number): Endpoint {
  const octets = addresses.map(parseAddress);
  const ipv4 = octets.find((one) => one.length === 4);
  const ipv6 = octets.find((one) => one.length === 16);
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }), port };
}

const canonical = (text: string): string => formatAddress(parseAddress(text));

export const addressesOf = ({ ipv4, ipv6 }: Endpoint): string[] =>
  [ipv4, ipv6].flatMap((one) => (one ? [formatAddress(one)] : []));

export const endpointText = (endpoint: Endpoint): string =>
  `${addressesOf(endpoint)
    .map((one) => (one.includes(':') ? `[${one}]` : one))
    .join(' and ')} port ${endpoint.port}`;

function targetId({ ipv4, ipv6, port, chain, startTls }: Omit<Target, 'id'>): string {
  const parts = [
    ...chain.map((der) => hash('sha256', der)),
    ...addressesOf({ port, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) }),
  ];
  return hash('sha256', [...parts, port, startTls ?? ''].join(' ')).slice(0, 32);
}
