/**
 * Opens TLS connections that go on only with the second opinion that the policy wants. Nothing of a request is sent
 * before that.
 */
import { type RevocationSource } from '@mecai/pki';
import type { TLSSocket } from 'node:tls';
import { isIP } from 'node:net';
import { type Candidate, candidatesFromOcsp, type Route } from '../candidates.ts';
import { Checker, type Handshake, type ServerCheck, type ServerFailure } from '../checker.ts';
import { type Choice, chooseVas } from '../choice/choose.ts';
import { ClientError } from '../error.ts';
import { RevocationCache } from '../revocation-cache.ts';
import type { VaList } from '../va-list/va-list.ts';
import { Bundles } from './bundles.ts';
import { askDirectly, type DirectOptions } from './direct.ts';
import { checkIntranet } from './intranet.ts';
import { type ClientPolicy, intranetFor, type Mode, modeFor } from './policy.ts';
import { probeBeside } from './side-probe.ts';
import { type KeyType, openTls, otherKeyType, type TlsOptions, type TlsPeer } from './tls-socket.ts';
import { readBundle } from './well-known.ts';

export interface GuardOptions {
  readonly list: VaList;
  readonly policy: ClientPolicy;
  readonly now: () => Date;
  /** Unpredictable octets: `randomBytes` of node:crypto. */
  readonly random: (octets: number) => Uint8Array;
  /** ISO 3166-1 alpha-2, for rules about it. */
  readonly clientCountry?: string;
  /** Of an IP address, from whatever GeoIP database is at hand. */
  readonly countryOf?: (address: string) => string | undefined;
  /** Told of every connection, refused or not, `off` excepted. */
  readonly onOutcome?: (outcome: Outcome) => void;
  /** For `direct`. */
  readonly direct?: DirectOptions;
  /** Asks responders and CRLs of intranet CAs: `intranetRevocation`. Without it only what is stapled counts. */
  readonly intranetSource?: RevocationSource;
  /** For the file under /.well-known/mecai/, milliseconds. Default 5,000. */
  readonly bundleMs?: number;
}

export type Verdict = 'accept' | 'warn' | 'reject';

export interface Outcome {
  readonly host: string;
  readonly mode: Mode;
  readonly verdict: Verdict;
  readonly handshake: Handshake;
  /** Absent in an intranet, and where none could be made. */
  readonly choice?: Choice;
  readonly intranet?: string;
  readonly check: ServerCheck;
  /** Routes that were taken. */
  readonly routes: readonly Route[];
  /** Failures of the server's first certificate, when the other one had to be tried. */
  readonly firstFailures?: readonly ServerFailure[];
}

export interface GuardedConnection {
  readonly socket: TLSSocket;
  /** Absent with mode `off`. */
  readonly outcome?: Outcome;
}

interface Attempt {
  readonly peer: TlsPeer;
  readonly handshake: Handshake;
  readonly check: ServerCheck;
  readonly routes: readonly Route[];
}

/** What the policy makes of failures. */
export const verdictOf = (mode: Mode, failures: readonly unknown[]): Verdict => {
  if (failures.length === 0 || mode === 'off' || mode === 'report-only') return 'accept';
  return mode === 'warn' ? 'warn' : 'reject';
};

export class Guard {
  readonly checker: Checker;
  readonly #options: GuardOptions;
  readonly #bundles = new Bundles();

  constructor(options: GuardOptions) {
    this.#options = options;
    const { list, policy } = options;
    const { maxAgeSeconds, trustContext, quorum, vaStatus, serverStatus } = policy;
    this.checker = new Checker({
      list,
      revocation: new RevocationCache(),
      maxAgeSeconds,
      ...(trustContext !== undefined && { trustContext }),
      ...(quorum && { quorum }),
      vaStatus,
      serverStatus,
    });
  }

  /** For one connection to this address. @throws ClientError `too-few-vas`, `country-unknown`, `va-list-expired` */
  choose(address: string): Choice {
    const { list, policy, random, clientCountry, countryOf, now } = this.#options;
    if (now() >= list.expires) throw new ClientError('va-list-expired', 'the VA list has expired');
    const destinationCountry = countryOf?.(address);
    return chooseVas(list, {
      rules: policy.choice,
      random,
      ...(clientCountry !== undefined && { clientCountry }),
      ...(destinationCountry !== undefined && { destinationCountry }),
    });
  }

  /**
   * The check alone, for TLS stacks of other kinds: they bring the handshake and whatever vouchers they found.
   * Nothing is sent, except to the CA of an intranet.
   */
  async check(
    host: string,
    handshake: Handshake,
    candidates: Iterable<Candidate>,
    choice?: Choice,
  ): Promise<Outcome> {
    const { policy, now } = this.#options;
    const intranet = intranetFor(policy, host);
    if (intranet) {
      const check = await this.#checkIntranet(intranet, host, handshake);
      return this.#told(host, { handshake, check, routes: [] });
    }
    const chosen = choice ?? this.#chosen(handshake.address);
    if ('failures' in chosen) return this.#told(host, { handshake, check: chosen, routes: [] });
    const check = this.checker.check(handshake, candidates, chosen, now());
    return this.#told(host, { handshake, check, routes: [] }, chosen);
  }

  /** A failed check where no VA can be chosen: whether that ends the connection is the mode's affair. */
  #chosen(address: string): Choice | ServerCheck {
    try {
      return this.choose(address);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return { failures: [{ code: 'no-choice', message: error.message }], vouchers: [], status: 'unknown' };
    }
  }

  /**
   * Connects, checks, and tries the server's other certificate before it gives up.
   *
   * @throws ClientError `refused` with the failures, `unreachable`
   */
  async connect(options: TlsOptions): Promise<GuardedConnection> {
    const { policy } = this.#options;
    const { host } = options;
    const name = options.servername || host;
    const intranet = intranetFor(policy, name);
    if (!intranet && modeFor(policy, name) === 'off') return { socket: (await openTls(options)).socket };
    const pinned = intranet && { ca: pemOf(intranet.roots), rejectUnauthorized: true };
    const peer = await openTls({ ...options, ...pinned });
    let { socket } = peer;
    try {
      if (intranet) {
        const check = await this.#checkIntranet(intranet, name, peer.handshake);
        return this.#settle(socket, this.#told(name, { ...peer, check, routes: [] }));
      }
      const choice = this.#chosen(peer.handshake.address);
      if ('failures' in choice) {
        return this.#settle(socket, this.#told(name, { ...peer, check: choice, routes: [] }));
      }
      const first = await this.#attempt(options, name, peer, choice);
      ({ socket } = first.peer);
      const firstFailures = first.check.failures;
      const other = firstFailures.length > 0 ? await this.#other(options, name, first, choice) : undefined;
      if (!other) return this.#settle(socket, this.#told(name, first, choice));
      socket.destroy();
      return this.#settle(other.peer.socket, this.#told(name, other, choice, firstFailures));
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Takes one route after the other until the vouchers suffice. */
  async #attempt(options: TlsOptions, name: string, first: TlsPeer, choice: Choice): Promise<Attempt> {
    const { policy, now, bundleMs = 5_000, direct = {} } = this.#options;
    let peer = first;
    let { handshake } = peer;
    const leaf = handshake.chain[0]!;
    const candidates: Candidate[] = [...this.#bundles.get(leaf, now())];
    const routes: Route[] = [];
    let check = this.checker.check(handshake, candidates, choice, now());
    for (const route of policy.routes) {
      if (check.failures.length === 0) break;
      if (route === 'well-known' && !options.http) continue;
      routes.push(route);
      if (route === 'ocsp') candidates.push(...candidatesFromOcsp(handshake.ocsp));
      else if (route === 'direct') candidates.push(...(await askDirectly(handshake, name, choice, direct)));
      else if (route === 'tls-extension') {
        const serverName = isIP(name) === 0 ? name : undefined;
        const beside = await probeBeside(handshake, serverName, choice, peer.keyType ?? 'any');
        candidates.push(...beside.candidates);
        handshake = beside.handshake ?? handshake;
      } else {
        const bundle = await readBundle(peer.socket, hostHeader(options, name), leaf, bundleMs);
        candidates.push(...bundle.candidates);
        this.#bundles.keep(leaf, bundle.candidates, now());
        if (!bundle.reusable) {
          peer.socket.destroy();
          peer = await this.#again(options, peer, peer.keyType);
          ({ handshake } = peer);
          // It may show another certificate: what is kept for that one counts.
          candidates.push(...this.#bundles.get(handshake.chain[0]!, now()));
        }
      }
      check = this.checker.check(handshake, candidates, choice, now());
    }
    return { peer, handshake, check, routes };
  }

  /** Another connection to the same address. */
  #again(options: TlsOptions, { handshake }: TlsPeer, keyType: KeyType | undefined): Promise<TlsPeer> {
    const servername = options.servername || (isIP(options.host) === 0 ? options.host : '');
    return openTls({ ...options, host: handshake.address, servername }, keyType);
  }

  /** With the server's certificate of the other key type, if it has one and that passes. */
  async #other(
    options: TlsOptions,
    name: string,
    { peer }: Attempt,
    choice: Choice,
  ): Promise<Attempt | undefined> {
    if (!peer.keyType) return undefined;
    try {
      const other = await this.#again(options, peer, otherKeyType(peer.keyType));
      const attempt = await this.#attempt(options, name, other, choice);
      if (attempt.check.failures.length === 0) return attempt;
      attempt.peer.socket.destroy();
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
    }
    return undefined;
  }

  #checkIntranet(
    intranet: NonNullable<ReturnType<typeof intranetFor>>,
    host: string,
    handshake: Handshake,
  ): Promise<ServerCheck> {
    const { intranetSource: source, now } = this.#options;
    return checkIntranet(intranet, host, handshake, {
      revocation: this.checker.revocation,
      ...(source && { source }),
      now: now(),
      signal: AbortSignal.timeout(10_000),
    });
  }

  #told(
    host: string,
    { handshake, check, routes }: Omit<Attempt, 'peer'>,
    choice?: Choice,
    firstFailures?: readonly ServerFailure[],
  ): Outcome {
    const { policy, onOutcome } = this.#options;
    // What an intranet is pinned to is no experiment.
    const intranet = choice ? undefined : intranetFor(policy, host)?.suffix;
    const mode = intranet === undefined ? modeFor(policy, host) : 'enforce';
    const outcome: Outcome = {
      host,
      mode,
      verdict: verdictOf(mode, check.failures),
      handshake,
      ...(choice && { choice }),
      ...(intranet !== undefined && { intranet }),
      check,
      routes,
      ...(firstFailures && { firstFailures }),
    };
    onOutcome?.(outcome);
    return outcome;
  }

  #settle(socket: TLSSocket, outcome: Outcome): GuardedConnection {
    if (outcome.verdict !== 'reject') return { socket, outcome };
    const { failures } = outcome.check;
    const why = failures.map(({ code, message }) => `${code}: ${message}`).join('; ');
    throw new ClientError('refused', `${outcome.host} is refused: ${why}`, { failures });
  }
}

const hostHeader = ({ port }: TlsOptions, name: string): string => {
  const host = isIP(name) === 6 ? `[${name}]` : name;
  return port === 443 ? host : `${host}:${port}`;
};

const pemOf = (roots: readonly Uint8Array[]): string[] =>
  roots.map(
    (root) =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(root).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
  );
