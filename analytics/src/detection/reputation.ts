import type { Endpoint, SeenKey } from './endpoint.ts';

interface Known {
  endpoints: number;
}

const maxIssuers = 20_000;
const maxNetworks = 20_000;
/** Of the endpoints of a network: what signs fewer is not its usual issuer. */
const usualShare = 0.02;

/**
 * Which issuers sign what is seen from several regions, and for which networks of servers. It stands for "an issuer
 * that trust contexts accept", which analytics does not validate: what prevails everywhere is taken as genuine.
 */
export class Reputation {
  readonly #issuers = new Map<string, Known>();
  readonly #networks = new Map<string, Known & { readonly issuers: Map<string, number> }>();

  #learned = 0;

  /** Keys of endpoints seen from several regions so far. */
  get learned(): number {
    return this.#learned;
  }

  /** The key has just been seen from a second region. */
  learn(endpoint: Endpoint, { issuer }: SeenKey): void {
    this.#learned++;
    const known = this.#issuers.get(issuer) ?? { endpoints: 0 };
    known.endpoints++;
    this.#issuers.set(issuer, known);
    if (this.#issuers.size > maxIssuers) this.#issuers.delete(this.#issuers.keys().next().value!);
    const name = networkOf(endpoint);
    const network = this.#networks.get(name) ?? { endpoints: 0, issuers: new Map() };
    network.endpoints++;
    // A network with so many issuers cannot miss one.
    const used = network.issuers.get(issuer);
    if (used !== undefined || network.issuers.size < 100) network.issuers.set(issuer, (used ?? 0) + 1);
    this.#networks.set(name, network);
    if (this.#networks.size > maxNetworks) this.#networks.delete(this.#networks.keys().next().value!);
  }

  /** Endpoints that the issuer signed for, seen from several regions. */
  endpointsOf(issuer: string): number {
    return this.#issuers.get(issuer)?.endpoints ?? 0;
  }

  /** Whether the network of servers uses it; undefined where the network is not known well. */
  uses(endpoint: Endpoint, issuer: string, enough: number): boolean | undefined {
    const network = this.#networks.get(networkOf(endpoint));
    if (!network || network.endpoints < enough) return undefined;
    return (network.issuers.get(issuer) ?? 0) >= Math.max(2, usualShare * network.endpoints);
  }
}

/** By autonomous system where GeoIP knows it; else by the domain of the name. */
export const networkOf = ({ targetAsn, name }: Endpoint): string =>
  targetAsn === 0 ? name.serverName.split('.').slice(-2).join('.') : `AS${targetAsn}`;
