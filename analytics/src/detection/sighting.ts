/** What the rules know of one observation: facts, and when they came. */
export interface Sighting {
  /** `observations.id`. */
  readonly id: string;
  /** `received_at`, milliseconds since 1970: the clock that rules go by, since agents' clocks are their own. */
  readonly at: number;
  /** `observed_at`, by the clock of the agent. */
  readonly observedAt: number;
  readonly agent: string;
  readonly country: string;
  readonly rir: string;
  readonly asn: number;
  /** Text or, for speed, any text that tells addresses apart. */
  readonly address: string;
  /** Autonomous system of the address; 0: unknown. */
  readonly targetAsn: number;
  readonly port: number;
  /** Empty: a control probe, without SNI. */
  readonly serverName: string;
  readonly startTls: string;
  readonly keyType: string;
  readonly proven: boolean;
  readonly error: string;
  /** The first certificate; empty texts: none. */
  readonly leaf: string;
  readonly spki: string;
  readonly issuer: string;
  readonly subject: string;
  readonly dnsNames: readonly string[];
  /** `endpointKey` of it, where that is known. */
  readonly key?: string;
}

/** Where an agent stands. */
export type Place = Pick<Sighting, 'agent' | 'country' | 'rir' | 'asn'>;

/** A server as asked for by one name, at one address. */
export type EndpointName = Pick<Sighting, 'address' | 'port' | 'serverName' | 'startTls' | 'keyType'>;

export const endpointKey = (name: EndpointName): string =>
  `${name.serverName} ${name.address} ${name.port} ${name.startTls} ${name.keyType}`;
