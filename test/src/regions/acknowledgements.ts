/**
 * What agents offer to JetStream, and what it acknowledges: heard on every node of the cluster, by a user who may listen
 * to both and to nothing else. Killed agents cannot be asked any more.
 */
import { readFileSync } from 'node:fs';
import { inboxPrefix, streams } from '@mecai/proto';
import { type Stored, readStored } from '@mecai/runtime';
import { type Msg, type NatsConnection, connect, nkeyAuthenticator } from '@nats-io/transport-node';

/** Agents offer an observation every 5.5 s until it is acknowledged; on a busy machine somewhat later. */
const offeredEveryMs = 10_000;
/** What was sent before a kill may be heard after it. */
const heardLateMs = 1_000;

interface Offer {
  readonly agent: string;
  /** The last time, by `performance.now()`. */
  readonly at: number;
}

interface Acknowledgement extends Stored {
  /** When it was heard first, by `performance.now()`. */
  readonly at: number;
}

/** Whom the operator lets listen, with the agents' names. */
export interface Listener {
  /** URLs of the nodes. */
  readonly servers: readonly string[];
  /** PEM; absent without TLS. */
  readonly ca?: string;
  readonly seedFile: string;
  readonly agents: readonly string[];
}

export const listenerPermissions = (agents: readonly string[]) => ({
  publish: [],
  subscribe: [...streams.observations.subjects, ...agents.map((name) => `${inboxPrefix(name)}.>`)],
});

export class Acknowledgements {
  readonly #connections: NatsConnection[] = [];
  /** By SHA-256 of the observation, hex. */
  readonly #offers = new Map<string, Offer>();
  /** By where its acknowledgement goes, which may be heard before it, on another connection. */
  readonly #hashes = new Map<string, string>();
  /** By where it went. */
  readonly #acknowledged = new Map<string, Acknowledgement>();
  readonly #kills: { readonly agents: readonly string[]; readonly at: number }[] = [];

  static async open({ servers, ca, seedFile, agents }: Listener): Promise<Acknowledgements> {
    const all = new Acknowledgements();
    for (const server of servers) {
      const nats = await connect({
        servers: server,
        ignoreClusterUpdates: true,
        ...(ca !== undefined && { tls: { ca } }),
        authenticator: nkeyAuthenticator(readFileSync(seedFile)),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
        pingInterval: 3_000,
      });
      all.#connections.push(nats);
      const heard = (take: (message: Msg) => void) => ({
        callback: (error: Error | null, message: Msg) => {
          if (!error) take(message);
        },
      });
      for (const subject of streams.observations.subjects)
        nats.subscribe(
          subject,
          heard((message) => all.#offered(message)),
        );
      for (const agent of agents)
        nats.subscribe(
          `${inboxPrefix(agent)}.>`,
          heard((message) => all.#answered(message)),
        );
      await nats.flush();
    }
    return all;
  }

  #offered({ subject, reply, headers }: Msg): void {
    const id = headers?.get('Nats-Msg-Id');
    if (!id || !reply) return;
    const hash = Buffer.from(id, 'base64url').toString('hex');
    this.#offers.set(hash, { agent: subject.split('.')[2]!, at: performance.now() });
    this.#hashes.set(reply, hash);
  }

  #answered(message: Msg): void {
    // Each node says it.
    if (this.#acknowledged.has(message.subject)) return;
    const said = readStored(message);
    if (typeof said !== 'string') this.#acknowledged.set(message.subject, { ...said, at: performance.now() });
  }

  /** SIGKILL, just now. */
  killed(agents: readonly string[]): void {
    this.#kills.push({ agents, at: performance.now() });
  }

  get #acknowledgedHashes(): Set<string> {
    return new Set(Array.from(this.#acknowledged.keys(), (reply) => this.#hashes.get(reply) ?? []).flat());
  }

  /** How an observation was acknowledged, and when others got its number. */
  #story(hash: string): string {
    const all = [...this.#acknowledged];
    const own = all.filter(([reply]) => this.#hashes.get(reply) === hash);
    const numbers = new Set(own.map(([, { seq }]) => seq));
    const others = all.filter(([reply, { seq }]) => numbers.has(seq) && this.#hashes.get(reply) !== hash);
    const words = (some: typeof all) =>
      some
        .map(([, { seq, duplicate, at }]) => {
          const number = `${seq} after ${(at / 1000).toFixed(1)} s`;
          return duplicate ? `${number} once more` : number;
        })
        .join(', ');
    return `as ${words(own)}${others.length > 0 ? `; others as ${words(others)}` : ''}`;
  }

  /** Observations. */
  get count(): number {
    return this.#acknowledgedHashes.size;
  }

  /**
   * Of what is not stored: what that should not be, in words, and how many their agents had not handed over when they
   * were killed.
   *
   * @param evidence what has to be stored besides; SHA-256, hex
   */
  missing(
    isStored: (hash: string) => boolean,
    evidence: readonly string[],
  ): { lost: string[]; unacknowledged: number } {
    const acknowledged = this.#acknowledgedHashes;
    const lost: string[] = [];
    let unacknowledged = 0;
    for (const hash of new Set([...this.#offers.keys(), ...evidence])) {
      if (isStored(hash)) continue;
      const offer = this.#offers.get(hash);
      if (acknowledged.has(hash))
        lost.push(
          `observation ${hash} of ${offer?.agent} was acknowledged ${this.#story(hash)}, and is lost`,
        );
      else if (offer && this.#diedWith(offer)) unacknowledged++;
      else lost.push(`observation ${hash} of ${offer?.agent ?? 'an agent'} is lost, whom nobody killed then`);
    }
    return { lost, unacknowledged };
  }

  /** Whether the agent was killed while it still offered what it offered last then. */
  #diedWith({ agent, at }: Offer): boolean {
    return this.#kills.some(
      (kill) => kill.agents.includes(agent) && kill.at - at > -heardLateMs && kill.at - at < offeredEveryMs,
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((nats) => nats.close()));
  }
}
