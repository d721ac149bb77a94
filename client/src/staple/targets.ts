/** What vouchers are wanted for, and where they go: from the server's configuration and the stapler's own. */
import { formatAddress, parseAddress } from '@mecai/addresses';
import { parseCertificate } from '@mecai/pki';
import type { StartTlsProtocol } from '@mecai/voucher';
import { hash, type KeyObject } from 'node:crypto';
import type { ListedSite, StapleConfig } from './config.ts';
import { StapleError } from './error.ts';
import { nameFor, readChain, readKey } from './identity.ts';
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
  /** Files that hold no vouchers and have to be there all the same, all types empty. */
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

type FileKind = 'serverInfoFiles' | 'ocspFiles';
type Wanted = Omit<Target, 'id' | FileKind>;
interface Claim {
  readonly kind: FileKind;
  readonly targets: Set<string>;
}

class Planner {
  readonly #places: Places;
  readonly #files: SourceFiles;
  readonly #targets = new Map<string, Wanted>();
  /** By file: whose vouchers it is to hold. */
  readonly #claims = new Map<string, Claim>();
  /** Of servers whose certificates cannot be read at this moment: what they hold stays. */
  readonly #spared = new Set<string>();
  readonly #problems = new Set<string>();

  constructor(places: Places, files: SourceFiles) {
    this.#places = places;
    this.#files = files;
  }

  plan(): Plan {
    const claims = [...this.#claims];
    for (const [file, { targets }] of claims) {
      if (targets.size > 1) {
        this.#problems.add(`${file}: for two certificates or endpoints, so it can hold vouchers of neither`);
      }
    }
    const filesOf = (id: string, wanted: FileKind) =>
      claims
        .filter(([, { kind, targets }]) => kind === wanted && targets.size === 1 && targets.has(id))
        .map(([file]) => file);
    return {
      targets: [...this.#targets].map(([id, wanted]) => ({
        ...wanted,
        id,
        serverInfoFiles: filesOf(id, 'serverInfoFiles'),
        ocspFiles: filesOf(id, 'ocspFiles'),
      })),
      stubs: claims
        .filter(([, { kind, targets }]) => kind === 'serverInfoFiles' && targets.size !== 1)
        .map(([file]) => file)
        .filter((file) => !this.#spared.has(file) || this.#files.glob(file).length === 0),
      problems: [...this.#problems],
    };
  }

  site(site: Site): void {
    const where = `${site.place.file}:${site.place.line}`;
    const endpoints = this.#endpoints(site, where);
    for (const { path } of site.serverInfoFiles) this.#claim(path, 'serverInfoFiles');
    if (endpoints.length > 1 && site.serverInfoFiles.length > 0) {
      this.#problems.add(
        `${where}: ${endpoints.map(endpointText).join(' and ')} share one ServerInfoFile, and a voucher is for one ` +
          'endpoint: give each a server of its own',
      );
    }
    for (const [index, pair] of site.keyPairs.entries()) {
      const infos = site.serverInfoFiles.filter((one) => one.keyPair === index).map(({ path }) => path);
      const identity = this.#identity(pair, where);
      if (!identity) {
        for (const file of infos) this.#spared.add(file);
        continue;
      }
      const name = nameFor(site.names, parseCertificate(identity.chain[0]!));
      for (const endpoint of endpoints) {
        const id = this.#add({ ...endpoint, ...identity, ...(name !== undefined && { name }) });
        if (endpoints.length > 1) continue;
        for (const file of infos) this.#claim(file, 'serverInfoFiles', id);
        // One response for several certificates would be wrong for all but one.
        if (site.ocsp.file !== undefined && site.keyPairs.length === 1) {
          this.#claim(site.ocsp.file, 'ocspFiles', id);
        }
      }
    }
  }

  listed({ name, addresses, port, startTls, certificate, key = '', ...site }: ListedSite): void {
    const identity = this.#identity({ certificate, key }, `sites: ${name}`);
    if (!identity) return;
    const id = this.#add({
      ...endpointOf(addresses, port),
      name,
      ...(startTls && { startTls }),
      ...identity,
    });
    if (site.serverInfoFile !== undefined) this.#claim(site.serverInfoFile, 'serverInfoFiles', id);
    if (site.ocspFile !== undefined) this.#claim(site.ocspFile, 'ocspFiles', id);
  }

  #add(wanted: Wanted): string {
    const id = targetId(wanted);
    this.#targets.set(id, { ...wanted, ...this.#targets.get(id) });
    return id;
  }

  #claim(file: string, kind: FileKind, id?: string): void {
    const claim = this.#claims.get(file) ?? { kind, targets: new Set<string>() };
    this.#claims.set(file, claim);
    if (id !== undefined) claim.targets.add(id);
  }

  /** Without a key that can be read there is no proof of it, which VAs put up with. */
  #identity(pair: KeyPair, where: string): Pick<Target, 'chain' | 'key'> | undefined {
    const certificates = this.#attempt(where, () => readChain(pair, this.#files));
    if (!certificates) return undefined;
    const key =
      pair.key === ''
        ? undefined
        : this.#attempt(where, () => readKey(pair.key, certificates[0]!, this.#files));
    return { chain: certificates.map(({ der }) => der), ...(key && { key }) };
  }

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

function targetId({ ipv4, ipv6, port, chain, startTls }: Wanted): string {
  const parts = [
    ...chain.map((der) => hash('sha256', der)),
    ...addressesOf({ port, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) }),
  ];
  return hash('sha256', [...parts, port, startTls ?? ''].join(' ')).slice(0, 32);
}
