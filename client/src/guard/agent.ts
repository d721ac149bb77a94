/** For Node's https module and for undici: no octet of a request leaves before its connection has been checked. */
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { callbackify } from 'node:util';
import type { Guard } from './guard.ts';
import type { TlsOptions } from './tls-socket.ts';

/** An `https.Agent` in whose place others are used: `https.get(url, { agent: new GuardedAgent(guard) })`. */
export class GuardedAgent extends Agent {
  readonly #guard: Guard;

  constructor(guard: Guard, options: AgentOptions = {}) {
    // A resumed session shows no certificate.
    super({ ...options, maxCachedSessions: 0 });
    this.#guard = guard;
  }

  override createConnection(
    options: ConnectionOptions & { readonly signal?: AbortSignal },
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const opened = callbackify(() => opening(this.#guard, { ...options, http: true, ...place(options) }));
    opened((error, socket) => done?.(error, socket));
  }
}

/** What undici hands to a connector; its own types are wider. */
export interface UndiciConnectOptions {
  readonly hostname: string;
  readonly port: string;
  readonly protocol: string;
  readonly servername?: string | null;
}

/**
 * A connector: `new Agent({ connect: undiciConnector(guard) })`, which `fetch` takes as its dispatcher. Without TLS
 * there is nothing to check, and it refuses.
 */
export const undiciConnector =
  (guard: Guard, tls: ConnectionOptions = {}) =>
  (
    { hostname, port, protocol, servername }: UndiciConnectOptions,
    done: (...args: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void,
  ): void => {
    if (protocol !== 'https:') return done(new TypeError(`${protocol} cannot be guarded`), null);
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const options = { ...tls, host, port: Number(port) || 443, http: true };
    const opened = callbackify(() => opening(guard, { ...options, ...(servername && { servername }) }));
    opened((error, socket) => (error ? done(error, null) : done(null, socket)));
  };

const opening = async (guard: Guard, options: TlsOptions): Promise<TLSSocket> =>
  (await guard.connect(options)).socket;

const place = ({ host, port }: ConnectionOptions): Pick<TlsOptions, 'host' | 'port'> => ({
  host: host ?? 'localhost',
  port: port ?? 443,
});
